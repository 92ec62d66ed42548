/* launch/zeroshot_report.h - pictures of a pack sorted into classes, as a table or JSON. */
#ifndef TH_LAUNCH_ZEROSHOT_REPORT_H
#define TH_LAUNCH_ZEROSHOT_REPORT_H

#include "dataloader/class_list.h"
#include "launch/trained_model.h"
#include "trainer/evaluate.h"

/* The class of each picture of the pack, -1 for those without: as the file `labels` says, or where
 * it is NULL as the captions do. Only rank 0 reads and gets them, [records]; free() *out. Errors:
 * TH_EDATA, TH_EUSAGE, TH_EIO (dataloader/label_list.h, class_list.h), TH_EPEER. Calls: Collective.
 */
TH_MUST_CHECK th_code th_zeroshot_labels(th_world *world, th_pack *pack,
                                         const th_class_list *classes, const char *labels,
                                         int32_t **out, th_err *err);

/* Embeds the prompts, places the pictures of `features` (those of model->pack) and prints on rank
 * 0, which alone needs `label`. Errors: TH_EUSAGE, TH_EDATA (no picture belongs to a class),
 * TH_EIO, TH_EPEER. Calls: Collective. */
TH_MUST_CHECK th_code th_zeroshot_report(th_world *world, th_trained_model *model,
                                         const th_features *features, const th_class_list *classes,
                                         const int32_t *label, bool json, th_err *err);

#endif
