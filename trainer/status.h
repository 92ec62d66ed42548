/* trainer/status.h - status.json in the run directory: where the run stands, for one who looks.
 *
 * Rank 0 writes it when the run begins, when a stage begins or a group thaws, at the end, and once
 * a second in between; by a rename, so a reader never sees half of it. It is for the eye: unlike
 * metrics.jsonl it is not cut back when a killed run goes on, holds times, and one that cannot be
 * written is a warning. `thaw status` prints it; docs/status.md tells its fields. */
#ifndef TH_TRAINER_STATUS_H
#define TH_TRAINER_STATUS_H

#include "trainer/session.h"

#define TH_STATUS_FILE "status.json"

/* Of a run whose process has gone, what it wrote last: a killed one was "training". */
typedef enum { TH_STATUS_TRAINING, TH_STATUS_STOPPED, TH_STATUS_DONE, TH_STATUS_FAILED } th_status;

/* Writes it now. `why` is the error of a run that failed, else NULL. Rank 0 writes, others return.
 * Sets session->row_rate to the rates of the next step. Local. */
void th_status_write(th_session *session, th_status status, const th_err *why);

/* Writes it when the last one is a second old. Local. */
void th_status_follow(th_session *session);

#endif
