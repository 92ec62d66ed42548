/* trainer/foresight.h - what a stage will freeze, as far as it can be known before the stage
 * begins.
 *
 * What a frozen tower makes of the samples can be computed ahead when the weights below its cut are
 * what they will be then: no stage between here and there trains one of them. */
#ifndef TH_TRAINER_FORESIGHT_H
#define TH_TRAINER_FORESIGHT_H

#include "trainer/session.h"

typedef struct {
    int  stage;    // its number in the schedule
    bool tower[2]; // image, text: frozen, with rows that can be kept and weights that are known
} th_foreseen;

/* Finds stage `name`, or (NULL) the first from where the session stands of which a tower's rows can
 * be computed now, and sets the table and session->options as they will be at its start; in the
 * stage under way, as they are now. The session is then good for nothing else. Errors: TH_EUSAGE:
 * there is no such stage, or why nothing of it can be computed now. Local. */
TH_MUST_CHECK th_code th_foresee_frozen(th_session *session, const char *name, th_foreseen *out,
                                        th_err *err);

#endif
