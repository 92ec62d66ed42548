// fuzz_seeds FOLDER - writes the seeds of the fuzz targets to FOLDER/<target>/<name>: one small
// file of each kind that thaw reads, mostly by thaw's own writers. The corpus in the tree is its
// output.
#include "base/file.h"
#include "checkpoint/interchange/safetensors.h"
#include "dataloader/image/image.h"
#include "dataloader/record.h"
#include "tests/fuzz/fuzz.h"

#include <archive.h>
#include <archive_entry.h>
#include <jpeglib.h> // wants stdio.h before
#include <png.h>
#include <stdbool.h>
#include <string.h>
#include <webp/encode.h>
#include <zlib.h>

#define SIDE 8

static const char *root;
static uint8_t     pixels[SIDE * SIDE * 4]; // a gradient, read as whatever a format wants
static th_err      error;

#define must(call) th_fuzz_claim((call) == TH_OK)

static const char *path_of(const char *target, const char *name)
{
    static char path[4096];

    th_fuzz_claim(snprintf(path, sizeof path, "%s/%s", root, target) < (int)sizeof path);
    must(th_folder_make(path, &error));
    th_fuzz_claim(snprintf(path, sizeof path, "%s/%s/%s", root, target, name) < (int)sizeof path);
    return path;
}

static void seed(const char *target, const char *name, const void *bytes, size_t size)
{
    must(th_file_replace_unflushed(path_of(target, name), bytes, size, &error));
}

static void seed_text(const char *target, const char *name, const char *text)
{
    seed(target, name, text, strlen(text));
}

// --- records ---

static void seed_record(const char *name, th_codec codec, const void *image, size_t size)
{
    static const int32_t tokens[] = { 1, 2, 300 };
    th_caption           captions[] = { { "a red square", 12, tokens, 3 }, { "", 0, tokens, 0 } };
    th_record            record = { .sample_id = 7,
                                    .width = SIDE,
                                    .height = SIDE,
                                    .codec = codec,
                                    .image = image,
                                    .image_bytes = (uint32_t)size,
                                    .caption_count = 2,
                                    .captions = captions };
    size_t               bytes = th_record_size(&record);
    unsigned char       *out = malloc(bytes);

    th_fuzz_claim(out && bytes > 0);
    th_record_write(&record, out);
    seed("record", name, out, bytes);
    free(out);
}

static void seed_records(void)
{
    th_image image = { .width = SIDE, .height = SIDE, .pixels = pixels };
    uint8_t  packed[1024], *jpeg = NULL;
    uLongf   packed_size = sizeof packed;
    size_t   jpeg_size = 0;

    th_fuzz_claim(compress(packed, &packed_size, pixels, SIDE * SIDE * 3) == Z_OK);
    must(th_image_encode_jpeg(&image, 80, &jpeg, &jpeg_size, &error));
    seed_record("raw", TH_CODEC_RAW, pixels, SIDE * SIDE * 3);
    seed_record("zlib", TH_CODEC_ZLIB, packed, packed_size);
    seed_record("jpeg", TH_CODEC_JPEG, jpeg, jpeg_size);
    free(jpeg);
}

// --- pictures ---

static void seed_jpeg(const char *name, J_COLOR_SPACE space, int components, bool progressive)
{
    struct jpeg_compress_struct jpeg = { 0 };
    struct jpeg_error_mgr       errors;
    unsigned char              *out = NULL;
    unsigned long               size = 0;

    jpeg.err = jpeg_std_error(&errors); // ends the program on an error
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &out, &size);
    jpeg.image_width = jpeg.image_height = SIDE;
    jpeg.input_components = components;
    jpeg.in_color_space = space;
    jpeg_set_defaults(&jpeg);
    jpeg.optimize_coding = TRUE; // small tables
    if (progressive)
        jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    for (int y = 0; y < SIDE; y++) {
        JSAMPROW row = pixels + (size_t)y * SIDE * (size_t)components;
        (void)jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    seed("image", name, out, size);
    jpeg_destroy_compress(&jpeg);
    free(out);
}

static void seed_png(const char *name, png_uint_32 format)
{
    static const uint8_t colors[256 * 4] = { 1, 2, 3, 255, 9, 8, 7 };
    static const uint8_t indices[SIDE * SIDE] = { 0, 1, 1 };
    static uint8_t       wide[SIDE * SIDE * 8];
    png_image            png = { .version = PNG_IMAGE_VERSION,
                                 .width = SIDE,
                                 .height = SIDE,
                                 .format = format,
                                 .colormap_entries = 2 };
    uint8_t              out[4096];
    png_alloc_size_t     size = sizeof out;
    const void          *from = pixels;

    if (format & PNG_FORMAT_FLAG_COLORMAP)
        from = indices;
    if (format & PNG_FORMAT_FLAG_LINEAR)
        from = wide;
    th_fuzz_claim(png_image_write_to_memory(&png, out, &size, 0, from, 0, colors));
    seed("image", name, out, size);
}

static void seed_images(void)
{
    uint8_t *webp = NULL;
    size_t   size;

    seed_jpeg("rgb.jpg", JCS_RGB, 3, false);
    seed_jpeg("progressive.jpg", JCS_RGB, 3, true);
    seed_jpeg("grey.jpg", JCS_GRAYSCALE, 1, false);
    seed_jpeg("cmyk.jpg", JCS_CMYK, 4, false);
    seed_png("rgb.png", PNG_FORMAT_RGB);
    seed_png("rgba.png", PNG_FORMAT_RGBA);
    seed_png("grey.png", PNG_FORMAT_GRAY);
    seed_png("grey-alpha.png", PNG_FORMAT_GA);
    seed_png("palette.png", PNG_FORMAT_RGBA_COLORMAP);
    seed_png("16-bit.png", PNG_FORMAT_LINEAR_RGB);
    th_fuzz_claim((size = WebPEncodeRGB(pixels, SIDE, SIDE, SIDE * 3, 50, &webp)) > 0);
    seed("image", "lossy.webp", webp, size);
    WebPFree(webp);
    th_fuzz_claim((size = WebPEncodeLosslessRGBA(pixels, SIDE, SIDE, SIDE * 4, &webp)) > 0);
    seed("image", "lossless-alpha.webp", webp, size);
    WebPFree(webp);
}

// --- weights ---

// A file by hand: a header of any JSON, and zeros behind it.
static void seed_header(const char *name, const char *json, size_t data)
{
    uint8_t  out[2048] = { 0 };
    uint64_t length = strlen(json);

    memcpy(out, &length, sizeof length);
    memcpy(out + sizeof length, json, length);
    seed("safetensors", name, out, sizeof length + length + data);
}

static void seed_safetensors(void)
{
    float     values[6] = { 1, 2, 3, 4, 5, 6 };
    th_tensor tensors[] = { { "logit_scale", 0, { 0 }, values },
                            { "visual.proj", 2, { 2, 3 }, values } };

    must(th_safetensors_write(path_of("safetensors", "written"), tensors, 2, &error));
    seed_header("types",
                "{\"__metadata__\":{\"format\":\"pt\"},"
                "\"a\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[0,8]},"
                "\"b\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[8,14]},"
                "\"c\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[14,22]},"
                "\"d\":{\"dtype\":\"F32\",\"shape\":[0,4],\"data_offsets\":[22,22]}}  ",
                22);
    seed_header("empty", "{}", 0);
}

// --- tars ---

static void add_member(struct archive *tar, const char *name, const char *text)
{
    struct archive_entry *entry = archive_entry_new();

    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (la_int64_t)strlen(text));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    th_fuzz_claim(archive_write_header(tar, entry) == ARCHIVE_OK);
    th_fuzz_claim(archive_write_data(tar, text, strlen(text)) == (la_ssize_t)strlen(text));
    archive_entry_free(entry);
}

static void seed_tar(const char *name, int format, bool gzip, const char *const *members)
{
    static char     out[1 << 16];
    size_t          size = 0;
    struct archive *tar = archive_write_new();

    th_fuzz_claim(archive_write_set_format(tar, format) == ARCHIVE_OK);
    if (gzip)
        th_fuzz_claim(archive_write_add_filter_gzip(tar) == ARCHIVE_OK &&
                      archive_write_set_options(tar, "gzip:!timestamp") == ARCHIVE_OK);
    th_fuzz_claim(archive_write_set_bytes_per_block(tar, 512) == ARCHIVE_OK &&
                  archive_write_set_bytes_in_last_block(tar, 1) == ARCHIVE_OK);
    th_fuzz_claim(archive_write_open_memory(tar, out, sizeof out, &size) == ARCHIVE_OK);
    for (; *members; members++)
        add_member(tar, *members, "two\nlines");
    th_fuzz_claim(archive_write_close(tar) == ARCHIVE_OK);
    seed("tar", name, out, size);
    th_fuzz_claim(archive_write_free(tar) == ARCHIVE_OK);
}

static void seed_tars(void)
{
    static char long_name[300]; // of a member: an extended header, or a name in a member of its own
    const char *pair[] = { "a/1.jpg", "a/1.txt", NULL };
    const char *odd[] = { "1.png", "1.webp", "2.txt", "../3.txt", ".4", "x", NULL };
    const char *longer[] = { long_name, NULL };

    (void)memset(long_name, 'n', sizeof long_name - 1);
    memcpy(long_name + sizeof long_name - 5, ".txt", 4);
    seed_tar("ustar", ARCHIVE_FORMAT_TAR_USTAR, false, pair);
    seed_tar("ustar.gz", ARCHIVE_FORMAT_TAR_USTAR, true, pair);
    seed_tar("odd.gz", ARCHIVE_FORMAT_TAR_GNUTAR, true, odd);
    seed_tar("pax", ARCHIVE_FORMAT_TAR_PAX_RESTRICTED, false, longer);
    seed_tar("gnu", ARCHIVE_FORMAT_TAR_GNUTAR, false, longer);
}

// --- tables ---

static void seed_csv(void)
{
    seed_text("csv", "commas", "filepath,title\n1.jpg,\"a, \"\"red\"\" cat\"\n1.jpg,two\n");
    seed_text("csv", "tabs",
              "\xef\xbb\xbfn\tfilepath\ttitle\r\n1\t/x.png\tone\r\n\r\n2\t../y\tb\r\n");
    seed_text("csv", "broken", "title,filepath\n\"open,1.jpg\n\"a\"b,2.jpg\nshort\n");
}

// --- run files ---

static void seed_run_files(void)
{
    seed_text("yaml", "flat",
              "model: {preset: tiny}\nbatch: 64\nfor: 2 epochs\noptimizer: {lr: 5e-4, betas: "
              "[0.9, 0.98]}\nlr: {warmup: 10 steps, shape: cosine, text.embed: 16x}\n");
    seed_text("yaml", "stages",
              "batch: 10\ndata: {val: p}\nstages:\n"
              "  - {name: align, train: [text, heads], for: 2 epochs, batch: 20, lr: 1e-3}\n"
              "  - name: top\n    train: [text, \"image.blocks[0:1]\", \"*.ln_1.*\"]\n"
              "    until: {plateau: val/loss, patience: 3, min: 5 steps, max: 1e3 samples}\n"
              "  - {unfreeze: {tower: image, from: top, one_group_every: 5 steps}, layer_decay: "
              "{image: 0.75}}\n"
              "  - {train: all, freeze: image.top(1), for: 100 steps}\n");
    seed_text("yaml", "aliases", "a: &a {b: 1, c: [1, 2]}\nlr: {image: 2x, text: *a}\n");
}

// --- shards: patches of one that fuzz_shard makes ---

static void seed_shards(void)
{
    const uint8_t patched[] = { 2, 0, 16, /* page 2, the first node */ 2, 0, 16, 0, 9, 9, 9, 9 };

    seed("shard", "leaf", "\0\0\0", 3);
    seed("shard", "branches", "\1\0\0", 3);
    seed("shard", "pages", "\2\0\0", 3);
    seed("shard", "patched", patched, sizeof patched);
}

static void seed_packs(void)
{
    seed_text("pack_info", "two",
              "{\"format\":\"thaw pack\",\"version\":1,\"records\":2,\"captions\":6,\"image\":"
              "{\"size\":64,\"margin\":0,\"filter\":\"bicubic\",\"codec\":\"raw\","
              "\"normalization\":\"clip\",\"mean\":[0.48,0.45,0.4],\"deviation\":[0.26,0.26,0.27]},"
              "\"tokenizer\":{\"file\":\"tokenizer.bpe\",\"vocabulary\":8192,\"hash\":"
              "\"0123456789abcdef\"},\"shards\":[{\"file\":\"x-00000.lmdb\",\"records\":2,"
              "\"bytes\":40960,\"hash\":\"0123456789abcdef\"}]}");
}

// --- tokenizers and captions ---

static void seed_tokenizers(void)
{
    seed_text("tokenizer", "merges", "#version: 0.2\nc a\nca t</w>\nr e\nre d</w>\n");
    seed_text("tokenizer", "vocab.txt",
              "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nr\n##e\n##d\ncat\n'\n##s\n");
    seed_text(
        "tokenizer", "bert.json",
        "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[{\"id\":1,"
        "\"content\":\"[UNK]\",\"special\":true},{\"id\":2,\"content\":\"[CLS]\",\"special\":true},"
        "{\"id\":3,\"content\":\"[SEP]\",\"special\":true}],\"normalizer\":{\"type\":"
        "\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\"strip_accents\":"
        "null,\"lowercase\":true},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
        "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":"
        "\"[CLS]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":"
        "{\"id\":\"[SEP]\",\"type_id\":0}}]},\"decoder\":{\"type\":\"WordPiece\",\"prefix\":"
        "\"##\"},\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\","
        "\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":100,\"vocab\":"
        "{\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,\"a\":4,\"cat\":5,\"##s\":6}}}");
    seed_text("caption", "plain", "A red cat's 3rd <|endoftext|>!");
    seed_text("caption", "entities", "&amp;amp; &#x41; &#128512; &notit; \xc4\xb0\xce\xa3 [SEP]");
    seed_text("caption", "unicode", "e\xcc\x81 \xe7\x8c\xab \xf0\x9f\x98\x80\xff\xe2\x80\x8b#");
}

// --- several files in one: th_fuzz_folder cuts them at 0xFF ---

#define CUT "\xff"

static void seed_vocabularies(void)
{
    seed_text("vocabulary", "clip",
              "{\"a\":0,\"c\":1,\"t\":2,\"a</w>\":3,\"t</w>\":4,\"ca\":5,\"cat</w>\":6,"
              "\"<|startoftext|>\":7,\"<|endoftext|>\":8}" CUT "#version: 0.2\nc a\nca t</w>\n");
    seed_text("vocabulary", "cased",
              CUT CUT "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nA\nr\n##e\n##d\ncat\n'\n##s\n");
    seed_text("vocabulary", "configured",
              CUT CUT "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n##t\n" CUT
                      "{\"do_lower_case\":true,\"strip_accents\":null,"
                      "\"tokenize_chinese_chars\":false}");
}

static void seed_classes(void)
{
    seed_text("classes", "one",
              "{\"classes\":[\"cat\",\"0\"],\"templates\":[\"a {c}.\",\"{}\"]}" CUT CUT
              "0123456789abcdef\tcat\n00000012-fedcba9876543210.png\t0\nx.csv\ta/1.png\t1\n");
    seed_text("classes", "two",
              "{\"a\":[\"cat\",\"dog\"],\"b\":[]}" CUT
              "{\"a\":{\"cat\":[\"meow\"],\"dog\":[\"bow\"]}}" CUT
              "{\"0123456789abcdef\":1,\"x.csv\":{\"a/1.png\":\"cat\"}}");
}

static void seed_configs(void)
{
    seed_text("foreign", "open_clip",
              "{\"model_cfg\":{\"embed_dim\":6,\"quick_gelu\":true,\"vision_cfg\":{\"image_size\":"
              "[4,4],\"layers\":1,\"width\":8,\"patch_size\":2,\"head_width\":4},\"text_cfg\":{"
              "\"context_length\":3,\"vocab_size\":10,\"width\":4,\"heads\":2,\"layers\":1}},"
              "\"preprocess_cfg\":{\"mean\":[0.5,0.4,0.3],\"std\":[0.2,0.3,0.4]}}");
    seed_text("foreign", "clip",
              CUT
              "{\"model_type\":\"clip\",\"projection_dim\":6,\"text_config\":{\"hidden_size\":4,"
              "\"intermediate_size\":16,\"num_hidden_layers\":1,\"num_attention_heads\":2,"
              "\"hidden_act\":\"gelu\",\"vocab_size\":10,\"max_position_embeddings\":3,"
              "\"layer_norm_eps\":1e-5},\"vision_config\":{\"hidden_size\":8,"
              "\"intermediate_size\":32,\"num_hidden_layers\":1,\"num_attention_heads\":2,"
              "\"hidden_act\":\"gelu\",\"image_size\":4,\"patch_size\":2}}" CUT
              "{\"image_mean\":[0.5,0.4,0.3],\"image_std\":[0.2,0.3,0.4]}");
    seed_text("foreign", "bert",
              CUT "{\"model_type\":\"bert\",\"hidden_size\":4,\"intermediate_size\":16,"
                  "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"vocab_size\":10,"
                  "\"max_position_embeddings\":3,\"type_vocab_size\":2}" CUT CUT
                  "{\"pooling_mode_mean_tokens\":true,\"pooling_mode_cls_token\":false}");
}

static void seed_manifest(void)
{
    seed_text("manifest", "two",
              "{\n \"format\": 1,\n \"step\": 7,\n \"samples_seen\": 70,\n \"stage\": 0,\n"
              " \"time\": 1700000000,\n \"file\": \"step-00000007.h5\",\n \"bytes\": 4096,\n"
              " \"hash\": \"0123456789abcdef\",\n \"tensors\": {\"model/logit_scale\": "
              "\"0123456789abcdef\", \"model/visual.proj\": \"fedcba9876543210\"},\n");
}

static void seed_lists(void)
{
    static const char idx[] =
        "\0\0\x8\3\0\0\0\2\0\0\0\2\0\0\0\3abcdefghijkl" CUT "\0\0\x8\1\0\0\0\2\0\1" CUT
        "{\"classes\":[\"a\",\"b\"],\"templates\":[\"{c}\"]}";

    seed_text(
        "coco", "two",
        "{\"images\":[{\"id\":1,\"file_name\":\"1.jpg\"},{\"id\":2,\"file_name\":\"2.jpg\"}],"
        "\"annotations\":[{\"image_id\":1,\"caption\":\"a\"},{\"image_id\":2,\"caption\":\"b\\n"
        "c\"},{\"image_id\":1,\"caption\":\"d\"},{\"image_id\":3,\"caption\":\"e\"}]}");
    seed_text("karpathy", "splits",
              "{\"images\":[{\"filepath\":\".\",\"filename\":\"1.jpg\",\"split\":\"restval\","
              "\"sentences\":[{\"raw\":\"a\"},{\"raw\":\"b\"}]},{\"filename\":\"1.jpg\",\"split\":"
              "\"test\",\"sentences\":[{\"raw\":\"c\"}]}]}");
    seed_text("flickr", "token", "1.jpg#0\tA dog .\n1.jpg#1\tA red dog .\n2.jpg#0\tA cat .\n");
    seed_text("flickr", "bars", "image_name| comment_number| comment\n1.jpg| 0| A dog .\n");
    seed_text("flickr", "table", "image,caption\n1.jpg,A dog .\n1.jpg,\"A \"\"red\"\" dog\"\n");
    seed_text(
        "metadata", "rows",
        "{\"file_name\":\"1.jpg\",\"text\":\"a\"}\n{\"file_name\":\"1.jpg\",\"caption\":[\"b\","
        "\"c\"]}\n{\"file_name\":\"../2.jpg\",\"text\":\"d\"}\n");
    seed_text("metadata", "table", CUT "file_name,caption\n1.jpg,a\n1.jpg,b\n");
    seed_text("cn_clip", "two",
              "12\tcGljdHVyZQ==\n13\tcGljdHVyZQ\n14\t-_8\n" CUT
              "{\"text_id\":1,\"text\":\"\xe7\x8c\xab\",\"image_ids\":[12,13]}\n"
              "{\"text_id\":2,\"text\":\"b\",\"image_ids\":[12,15]}\n");
    seed("idx", "two", idx, sizeof idx - 1);
}

int main(int count, char **words)
{
    if (count != 2) {
        (void)fputs("usage: fuzz_seeds FOLDER\n", stderr);
        return 2;
    }
    root = words[1];
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 5);
    seed_records();
    seed_images();
    seed_safetensors();
    seed_tars();
    seed_csv();
    seed_run_files();
    seed_shards();
    seed_packs();
    seed_tokenizers();
    seed_vocabularies();
    seed_classes();
    seed_configs();
    seed_manifest();
    seed_lists();
    return 0;
}
