/* trainer/schedule/stage_state.h - what a checkpoint remembers of the stage under way, as JSON. */
#ifndef TH_TRAINER_SCHEDULE_STAGE_STATE_H
#define TH_TRAINER_SCHEDULE_STAGE_STATE_H

#include "trainer/schedule/trigger.h"
#include <stddef.h>

/* Writes the rows that trained before the stage and the trigger's state. Errors: TH_EUSAGE when the
 * text does not hold them. Local. */
TH_MUST_CHECK th_code th_stage_state_print(const bool *before, int row_count,
                                           const th_trigger *trigger, char *out, size_t size,
                                           th_err *err);

/* Reads it back into before[row_count] and the state part of the trigger. An empty text leaves
 * both. Errors: TH_EDATA when it is of another table or no such text. Local. */
TH_MUST_CHECK th_code th_stage_state_read(const char *text, bool *before, int row_count,
                                          th_trigger *trigger, th_err *err);

#endif
