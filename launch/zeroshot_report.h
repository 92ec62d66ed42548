/* launch/zeroshot_report.h - pictures of a pack sorted into classes, as a table or JSON. */
#ifndef TH_LAUNCH_ZEROSHOT_REPORT_H
#define TH_LAUNCH_ZEROSHOT_REPORT_H

#include "dataloader/class_list.h"
#include "launch/trained_model.h"
#include "trainer/evaluate.h"

/* Embeds the prompts, places the pictures of `features` (those of model->pack) and prints on rank
 * 0. Errors: TH_EUSAGE, TH_EDATA (no picture belongs to a class, or one to two), TH_EIO, TH_EPEER.
 * Calls: Collective. */
TH_MUST_CHECK th_code th_zeroshot_report(th_world *world, th_trained_model *model,
                                         const th_features *features, const th_class_list *classes,
                                         bool json, th_err *err);

#endif
