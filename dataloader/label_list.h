/* dataloader/label_list.h - classes of pictures, from a file that somebody wrote.
 *
 *     00000012-3f2a9c0d51e6b874<TAB>trouser        a table: picture, class
 *     train.csv<TAB>img/0012.png<TAB>trouser       or source, key, class
 *     {"3f2a9c0d51e6b874": "trouser", "00000013-1122334455667788": 0,   JSON: picture: class
 *      "train.csv": {"img/0014.png": "trouser"}}                        or source: {key: class}
 *
 * A picture is named by its sample id, 16 hexadecimal digits, alone or behind the record's number
 * as `thaw inspect --dump-images` and `thaw embed` have it (".png" may follow); or by where it came
 * from, the name of its tar, table or folder without those above it, and its key there. A class is
 * a name of the list or its place in it, from 0: in JSON a string or an integer, in a table a
 * number only where no class has that name. */
#ifndef TH_DATALOADER_LABEL_LIST_H
#define TH_DATALOADER_LABEL_LIST_H

#include "base/error.h"
#include "dataloader/class_list.h"
#include "dataloader/pack.h"
#include <stdint.h>

typedef struct {
    uint64_t id;
    int64_t  record; // of the pack, -1 where only the id is told
    int64_t  place;  // line of a table, entry of a JSON file, from 1
    int32_t  class_;
} th_label;

typedef struct {
    int64_t   count;
    th_label *label; // [count] sorted by id, then by record
    char     *path;  // of the file, for messages
} th_label_list;

/* Errors: TH_EDATA naming line or entry: no label, no such class, a name that two classes have, a
 * picture that is labelled twice; TH_EUSAGE (no such file), TH_EIO. Local. */
TH_MUST_CHECK th_code th_label_list_open(const char *path, const th_class_list *classes,
                                         th_label_list *out, th_err *err);
void                  th_label_list_close(th_label_list *list); // accepts a zeroed one
int th_label_by_picture(const void *a, const void *b); // their order in a list, for bsearch()

/* label[records]: the class of each picture of the pack, -1 for those without. Errors: TH_EDATA
 * when a label is of no picture of the pack (unless records of it are damaged, which then may be
 * the one meant), or of two by its id alone; TH_EIO. Local. */
TH_MUST_CHECK th_code th_label_list_apply(const th_label_list *list, th_pack *pack, int32_t *label,
                                          th_err *err);

#endif
