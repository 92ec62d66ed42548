/* launch/terminal.h - does a person look at stderr? */
#ifndef TH_LAUNCH_TERMINAL_H
#define TH_LAUNCH_TERMINAL_H

#include <stdbool.h>

/* True when stderr is a terminal, or a pipe to an mpirun whose stderr is one: mpirun passes on what
 * a rank writes as it comes, so a bar that redraws itself works through it. */
bool th_terminal_watches(void);

/* Columns of that terminal; 0 when there is none, or it does not say. */
int th_terminal_columns(void);

#endif
