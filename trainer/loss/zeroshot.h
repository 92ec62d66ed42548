/* trainer/loss/zeroshot.h - pictures sorted into classes that are known by texts alone.
 *
 * A class is a few prompts ("a photo of a shirt.", "a drawing of a shirt."). Its feature is the
 * mean of their unit features, scaled to length 1; a picture belongs to the class of the largest
 * dot product. A class of equal similarity counts half against the right one, rounded up, so a
 * collapsed model scores chance. Source: Radford et al. 2021, arXiv:2103.00020, section 3.1.4
 * (prompt ensembling). Sums are in double and in fixed order: the numbers do not depend on threads.
 */
#ifndef TH_TRAINER_LOSS_ZEROSHOT_H
#define TH_TRAINER_LOSS_ZEROSHOT_H

#include "base/error.h"
#include "trainer/nn/real.h"
#include <stdint.h>

/* Class features, [classes, d].
 *
 *   prompt       [prompts, d] unit rows, those of a class one below the other      borrowed
 *   first        [classes + 1] first prompt of each class; first[classes] = prompts
 *
 * Prompts that cancel each other out leave a feature of zeros. Local, any thread. */
void th_zeroshot_classes(const th_real *prompt, const int64_t *first, int64_t classes, int64_t d,
                         th_real *out_class);

typedef struct {
    int64_t pictures;   // of the class
    int64_t top1, top5; // of them, those for which it is the first, among the first five
} th_zeroshot_count;

typedef struct {
    int64_t pictures;    // that have a label
    double  top1, top5;  // share of the pictures, in [0, 1]
    double  mean_recall; // mean over classes that have pictures of their own top-1
} th_zeroshot;

/* Places every picture.
 *
 *   image        [pictures, d] unit rows                                           borrowed
 *   label        [pictures] class, or -1: the picture is left out                  borrowed
 *   class_       [classes, d] from th_zeroshot_classes                             borrowed
 *   out_count    [classes], written on success
 *
 * A NaN counts against the picture. Errors: TH_EIO (memory), TH_EDATA (no picture has a label).
 * Local; one thread, which opens an OpenMP region. */
TH_MUST_CHECK th_code th_zeroshot_place(const th_real *image, const int32_t *label,
                                        int64_t pictures, const th_real *class_, int64_t classes,
                                        int64_t d, th_zeroshot_count *out_count, th_zeroshot *out,
                                        th_err *err);

#endif
