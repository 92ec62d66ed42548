/* tests/fuzz/check_tokenizer.h - what must hold of a tokenizer that was accepted: ids of a caption
 * are inside its vocabulary, and what it prints is read as the same tokenizer. */
#ifndef TH_TESTS_FUZZ_CHECK_TOKENIZER_H
#define TH_TESTS_FUZZ_CHECK_TOKENIZER_H

#include "dataloader/tokenizer/tokenizer.h"

void th_fuzz_check_tokenizer(const th_tokenizer *tokenizer);

#endif
