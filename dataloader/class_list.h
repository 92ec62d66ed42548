/* dataloader/class_list.h - names and prompts of classes, from the JSON that CLIP_benchmark uses.
 *
 *     {"classes": ["T-shirt", "trouser"], "templates": ["a photo of a {c}."]}     one file
 *     {"cifar10": ["airplane", "automobile"], ...}      *_classnames.json, and beside it
 *     {"cifar10": ["a photo of a {c}."], ...}           *_zeroshot_classification_templates.json
 *
 * `{c}` or `{}` in a template stands for the name. Templates may also be an object of each class's
 * own texts, {"T-shirt": ["a shirt with short sleeves"]}, which are taken as they stand.
 * Format: github.com/LAION-AI/CLIP_benchmark. */
#ifndef TH_DATALOADER_CLASS_LIST_H
#define TH_DATALOADER_CLASS_LIST_H

#include "base/error.h"
#include "dataloader/pack.h"
#include <stdint.h>

#define TH_CLASSES 100000  // most classes of a list
#define TH_PROMPTS 1000000 // most prompts of all classes

typedef struct {
    int64_t  classes;
    char   **name;   // [classes]
    char   **prompt; // [first[classes]] those of a class behind each other
    int64_t *first;  // [classes + 1]
} th_class_list;

/* `templates` is NULL when the file of classes holds them. `dataset` names an entry of
 * CLIP_benchmark's files; NULL when they have only one. Errors: TH_EDATA (no JSON, not of a form
 * above, a template without a place for the name), TH_EUSAGE (no such data set, none named),
 * TH_EIO. Local. */
TH_MUST_CHECK th_code th_class_list_open(const char *classes, const char *templates,
                                         const char *dataset, th_class_list *out, th_err *err);
void                  th_class_list_close(th_class_list *list); // accepts a zeroed one

/* label[records]: the class whose name, or one of whose prompts, is a caption of the picture, byte
 * for byte; -1 when there is none, or the record is damaged. Errors: TH_EDATA when captions of a
 * picture fit two classes; TH_EIO. Local. */
TH_MUST_CHECK th_code th_class_list_label(const th_class_list *list, th_pack *pack, int32_t *label,
                                          th_err *err);

#endif
