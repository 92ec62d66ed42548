#include "dataloader/packer.h"

#define OPT(label, field, ...) TH_OPTION(th_pack_options, label, field, __VA_ARGS__)

// Sorted by name, as th_options_check demands.
const th_option th_pack_table[] = {
    OPT("alpha", alpha, .fallback = "white", .choices = "white drop", .since = "0.2",
        .help =
            "transparent pictures: on white, or the colours under the alpha as Pillow has them"),
    OPT("bpe", bpe, .fallback = "8192", .unit = "tokens", .min = 514, .max = 1 << 20,
        .since = "0.1", .help = "vocabulary of the tokenizer that is trained on the captions"),
    OPT("caption_bytes", caption_bytes, .fallback = "8192", .unit = "bytes", .min = 1,
        .max = TH_RECORD_CAPTION_BYTES, .since = "0.1",
        .help = "longest caption; a sample with a longer one is quarantined"),
    OPT("captions", source.captions, .since = "0.2",
        .help = "where tars and folders have captions: txt, or json:MEMBER of the json member"),
    OPT("classes", source.classes, .since = "0.2",
        .help =
            "JSON that names the classes of labelled pictures, with templates: docs/evaluation.md"),
    OPT("cleanup", cleanup, .choices = "open_clip hf", .since = "0.2",
        .help = "how captions are cleaned for CLIP; by default as the tokenizer's files say"),
    OPT("codec", codec, .fallback = "jpeg", .choices = "raw zlib jpeg", .since = "0.1",
        .help = "how pictures are stored: raw reads fastest, jpeg is smallest"),
    OPT("csv_caption_key", source.caption_key, .since = "0.2",
        .help = "column, or member of metadata.jsonl, of captions; usually title"),
    OPT("csv_img_key", source.img_key, .since = "0.2",
        .help = "column of the pictures' paths; usually filepath"),
    OPT("csv_separator", source.separator, .since = "0.2",
        .help = "one byte, or tab; else TAB when the first line has one, and comma"),
    OPT("exif", exif, .fallback = "ignore", .choices = "ignore apply", .since = "0.2",
        .help = "orientation that a camera noted: as the pixels are stored, or turned upright"),
    OPT("filter", filter, .fallback = "bicubic", .choices = "bicubic bilinear box", .since = "0.2",
        .help = "what pictures are resized with, Pillow's bits"),
    OPT("from", from, .required = true, .since = "0.1",
        .help = "pictures and captions: KIND:PATH, such as wds:'data/*.tar'; `thaw help pack`"),
    OPT("images", source.images, .since = "0.2",
        .help = "folder of the pictures that a list names, when it is not beside the list"),
    OPT("margin", margin, .fallback = "0", .unit = "pixels", .max = TH_RECORD_SIDE, .since = "0.1",
        .help = "pixels kept around the size, for random crops"),
    OPT("normalization", normalization, .fallback = "clip", .choices = "clip imagenet siglip",
        .since = "0.1", .help = "mean and deviation that pixels are normalised with"),
    OPT("quality", quality, .fallback = "92", .min = 1, .max = 100, .since = "0.1",
        .help = "quality of stored JPEGs"),
    OPT("shards", shards, .fallback = "0", .unit = "shards", .max = TH_PACK_SHARDS, .since = "0.1",
        .help = "number of shards; 0: of about 1 GiB each"),
    OPT("size", size, .fallback = "224", .unit = "pixels", .min = 1, .max = TH_RECORD_SIDE,
        .since = "0.1", .help = "side of the pictures that a model sees"),
    OPT("split", source.split, .since = "0.2",
        .help = "splits of Karpathy's files: test, or several: train,restval"),
    OPT("threads", threads, .fallback = "0", .unit = "threads", .max = 1024, .when = TH_PER_START,
        .since = "0.1", .help = "threads; 0: one for each processor"),
    OPT("to", to, .required = true, .since = "0.1", .help = "folder of the new pack"),
    OPT("tokenizer", tokenizer, .since = "0.1",
        .help = "tokenizer to use instead of a new one: merges file, tokenizer.json, vocab.json, "
                "vocab.txt, or a folder or pack of one"),
    OPT("val", val, .fallback = "0", .max = 0.9, .since = "0.1",
        .help = "share of the samples that goes to a second pack, named with -val behind it"),
};
const int th_pack_table_count = sizeof th_pack_table / sizeof *th_pack_table;
