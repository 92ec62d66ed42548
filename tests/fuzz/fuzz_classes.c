// dataloader/class_list and label_list: classes and templates in one file or in CLIP_benchmark's
// two, and labels that name these classes.
#include "base/file.h"
#include "dataloader/class_list.h"
#include "dataloader/label_list.h"
#include "tests/fuzz/fuzz.h"

#include <limits.h>

static void check_list(const th_class_list *list)
{
    th_fuzz_claim(list->classes > 0 && list->first[0] == 0);
    for (int64_t c = 0; c < list->classes; c++)
        th_fuzz_claim(list->name[c] && list->first[c] < list->first[c + 1]);
    for (int64_t p = 0; p < list->first[list->classes]; p++)
        th_fuzz_claim(list->prompt[p]);
}

static void read_labels(const char *path, const th_class_list *classes)
{
    th_label_list list = { 0 };
    th_err        err = { 0 };
    th_code       rc = th_label_list_open(path, classes, &list, &err);

    if (rc != TH_OK) {
        th_fuzz_refusal(rc, err);
        return;
    }
    th_fuzz_claim(list.count > 0);
    for (int64_t i = 0; i < list.count; i++) {
        th_fuzz_claim(list.label[i].class_ >= 0 && list.label[i].class_ < classes->classes);
        th_fuzz_claim(i == 0 || th_label_by_picture(&list.label[i - 1], &list.label[i]) < 0);
    }
    th_label_list_close(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const names[] = { "classes.json", "templates.json", "labels" };
    static const char *const datasets[] = { NULL, "a" };
    const char              *folder = th_fuzz_folder(names, 3, bytes, size);
    char                     path[3][PATH_MAX];

    for (int i = 0; i < 3; i++)
        th_fuzz_claim(th_path_join(path[i], sizeof path[i], folder, names[i]));
    for (int i = 0; i < 2; i++) {
        th_class_list list = { 0 };
        th_err        err = { 0 };
        th_code       rc = th_class_list_open(path[0], th_path_exists(path[1]) ? path[1] : NULL,
                                              datasets[i], &list, &err);
        if (rc != TH_OK) {
            th_fuzz_refusal(rc, err);
            continue;
        }
        check_list(&list);
        if (th_path_exists(path[2]))
            read_labels(path[2], &list);
        th_class_list_close(&list);
    }
    return 0;
}
