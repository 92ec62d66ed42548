// Lists of pictures: COCO, Karpathy's splits, imagefolder's metadata, Flickr30k; whole and damaged.
#include "tests/unit/dataloader/source_fixture.h"

static const th_source_options none;

static void make_pictures(const char *folder)
{
    make_folder(folder, "train2017");
    make_folder(folder, "lists");
    write_text(folder, "train2017/1.jpg", "picture 1");
    write_text(folder, "train2017/2.jpg", "picture 2");
    write_text(folder, "outside.jpg", "no picture of ours");
}

// Pictures beside the list's folder, in one that the list is named by.
static void coco_groups_captions_by_image(void **state)
{
    const char *folder = *state;

    make_pictures(folder);
    write_text(folder, "lists/captions_train2017.json",
               "{\"info\": {}, \"images\": ["
               "{\"id\": 9007199254740993, \"file_name\": \"2.jpg\"},"
               "{\"id\": 1, \"file_name\": \"1.jpg\"}],"
               "\"annotations\": ["
               "{\"id\": 7, \"image_id\": 1, \"caption\": \"one a\"},"
               "{\"id\": 8, \"image_id\": 9007199254740993, \"caption\": \"two\\na\"},"
               "{\"id\": 9, \"image_id\": 1, \"caption\": \"one b\"}]}");
    th_source *source = open_source("coco", folder, "lists/captions_train2017.json");
    expect(source, "2.jpg", "picture 2", "two a\n");
    expect(source, "1.jpg", "picture 1", "one a\none b\n");
    expect_end(source);
}

static void what_is_wrong_in_coco_has_a_reason(void **state)
{
    const char *folder = *state;
    char        images[400];

    make_pictures(folder);
    th_test_path(images, sizeof images, folder, "train2017");
    write_text(folder, "c.json",
               "{\"images\": [{\"id\": 1, \"file_name\": \"1.jpg\"},"
               "{\"id\": 1, \"file_name\": \"2.jpg\"},"
               "{\"id\": \"3\", \"file_name\": \"2.jpg\"},"
               "{\"id\": 4}, 5, {\"id\": 6, \"file_name\": \"../outside.jpg\"},"
               "{\"id\": 7, \"file_name\": \"none.jpg\"}, {\"id\": 8, \"file_name\": \"2.jpg\"},"
               "{\"id\": 9, \"file_name\": \"/etc/passwd\"}, {\"id\": 10, \"file_name\": 7}],"
               "\"annotations\": [{\"image_id\": 1, \"caption\": \"good\"},"
               "{\"image_id\": 6, \"caption\": \"x\"}, {\"image_id\": 7, \"caption\": \"x\"},"
               "{\"image_id\": 8, \"caption\": 5}, {\"image_id\": 9, \"caption\": \"x\"},"
               "{\"image_id\": 99, \"caption\": \"x\"}, 17, {\"caption\": \"x\"}]}");
    th_source *source =
        open_kind("coco", folder, "c.json", (th_source_options){ .images = images });
    expect_refused(source, "2.jpg", "duplicate id: ");
    expect_refused(source, "2.jpg", "wrong type: the id of image 2");
    expect_refused(source, "", "missing picture: image 3 of the list has no file_name");
    expect_refused(source, "", "missing picture: image 4");
    expect(source, "1.jpg", "picture 1", "good\n"); // complete when another picture's row is good
    expect_refused(source, "../outside.jpg", "unsafe path: image 5");
    expect_refused(source, "2.jpg", "wrong type: the caption of annotation 3");
    expect_refused(source, "none.jpg", "missing picture: image 6: No such file");
    expect_refused(source, "", "missing picture: image 9 of the list");
    expect_refused(source, "", "missing picture: annotation 5");
    expect_refused(source, "", "missing picture: annotation 6");
    expect_refused(source, "", "missing picture: annotation 7");
    expect_refused(source, "/etc/passwd", "unsafe path: image 8: it starts at the root");
    expect_end(source);
}

static void lists_that_are_none_are_refused(void **state)
{
    static const struct {
        const char *kind, *text, *words;
        th_code     code;
    } cases[] = {
        { "coco", "", "no JSON", TH_EDATA },
        { "coco", "{\"images\": [{\"id\": 1, \"file_na", "no JSON", TH_EDATA },
        { "coco", "[]", "no JSON object", TH_EDATA },
        { "coco", "{\"images\": []}", "no list \"annotations\"", TH_EDATA },
        { "coco", "{\"images\": {}, \"annotations\": []}", "no list \"images\"", TH_EDATA },
        { "coco", "{\"images\": [{\"id\": 99999999999999999999}], \"annotations\": []}", "no JSON",
          TH_EDATA },
        { "coco", "{\"images\": [{\"id\": 1, \"file_name\": \"gone.jpg\"}], \"annotations\": []}",
          "could not find \"gone.jpg\"", TH_EUSAGE },
        { "karpathy", "{\"images\": 5}", "no list \"images\"", TH_EDATA },
        { "karpathy", "{\"images\": []}", "split \"any\"", TH_EUSAGE },
        { "flickr", "", "is empty", TH_EUSAGE },
        { "flickr", "some text\n", "none of Flickr30k's", TH_EUSAGE },
        { "cn_clip", "", "does not end in _imgs.tsv", TH_EUSAGE },
    };
    const char *folder = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_text(folder, "list", cases[i].text);
        expect_no_source(cases[i].kind, folder, "list", none, cases[i].code, cases[i].words);
        expect_no_source(cases[i].kind, folder, "nothing_imgs.tsv", none, TH_EUSAGE,
                         "could not open");
    }
    expect_no_source("coco", folder, "", none, TH_EUSAGE, "is not a file");
}

static void karpathy_takes_its_splits(void **state)
{
    const char *folder = *state;

    make_pictures(folder);
    write_text(
        folder, "dataset_coco.json",
        "{\"dataset\": \"coco\", \"images\": ["
        "{\"filepath\": \"train2017\", \"filename\": \"1.jpg\", \"split\": \"test\","
        " \"sentences\": [{\"raw\": \"one a\", \"tokens\": [\"one\"]}, {\"raw\": \"one b\"}]},"
        "{\"filepath\": \"train2017\", \"filename\": \"2.jpg\", \"split\": \"restval\","
        " \"sentences\": [{\"raw\": \"two\"}]},"
        "{\"filename\": \"3.jpg\", \"split\": \"train\", \"sentences\": []},"
        "{\"filename\": \"../outside.jpg\", \"split\": \"train\", \"sentences\": [{\"raw\": "
        "\"x\"}]},"
        "{\"filepath\": \"train2017\", \"split\": \"train\", \"sentences\": [{\"raw\": \"x\"}]},"
        "{\"filename\": \"4.jpg\", \"split\": 5, \"sentences\": [{\"tokens\": []}]}, 7]}");
    th_source *source =
        open_kind("karpathy", folder, "dataset_coco.json", (th_source_options){ .split = "test" });
    expect(source, "train2017/1.jpg", "picture 1", "one a\none b\n");
    expect_end(source);
    source = open_kind("karpathy", folder, "dataset_coco.json",
                       (th_source_options){ .split = "train,restval" });
    expect_refused(source, "3.jpg", "missing caption: image 2 has no sentences");
    expect(source, "train2017/2.jpg", "picture 2", "two\n");
    expect_refused(source, "", "missing picture: image 4 of the list has no filename");
    expect_refused(source, "../outside.jpg", "unsafe path: ");
    expect_end(source);
    source = open_source("karpathy", folder, "dataset_coco.json");
    expect(source, "train2017/1.jpg", "picture 1", "one a\none b\n");
    expect_refused(source, "3.jpg", "missing caption: ");
    th_source_close(source);
    expect_no_source("karpathy", folder, "dataset_coco.json",
                     (th_source_options){ .split = "rest" }, TH_EUSAGE, "split \"rest\"");
}

static void metadata_names_files_and_captions(void **state)
{
    const char *folder = *state;

    make_folder(folder, "in");
    make_folder(folder, "in/b");
    write_text(folder, "in/a.jpg", "picture a");
    write_text(folder, "in/b/c.jpg", "picture c");
    write_text(folder, "in/metadata.jsonl",
               "\xef\xbb\xbf{\"file_name\": \"a.jpg\", \"text\": \"of a\"}\r\n"
               "\n"
               "{\"file_name\": \"b/c.jpg\", \"caption\": [\"one\", \"two\"], \"other\": \"x\"}\n"
               "{\"file_name\": \"a.jpg\", \"text\": null}\n"
               "{\"file_name\": \"../in/a.jpg\", \"text\": \"x\"}\n"
               "{\"file_name\": \"gone.jpg\", \"text\": \"x\"}\n"
               "{\"text\": \"x\"}\n"
               "[1]\n"
               "{\"file_name\": \"a.j\\u0000pg\", \"text\": \"x\"}\n"
               "{\"file_name\": \"a.jpg\", \"te");
    th_source *source = open_source("metadata", folder, "in");
    expect(source, "a.jpg", "picture a", "of a\n");
    expect_refused(source, "a.jpg", "missing caption: the caption of line 4 is null");
    expect(source, "b/c.jpg", "picture c", "one\ntwo\n");
    expect_refused(source, "../in/a.jpg", "unsafe path: line 5");
    expect_refused(source, "", "missing picture: line 7 has no text \"file_name\"");
    expect_refused(source, "", "missing picture: line 8");
    expect_refused(source, "", "damaged JSON: line 9");
    expect_refused(source, "", "damaged JSON: line 10");
    expect_refused(source, "gone.jpg", "missing picture: line 6: No such file");
    expect_end(source);
    source = open_kind("metadata", folder, "in/metadata.jsonl",
                       (th_source_options){ .caption_key = "other" });
    expect_refused(source, "a.jpg", "missing caption: the caption of line 1 is not there");
    th_source_close(source);

    write_text(folder, "in/b/metadata.csv", "file_name,caption\nc.jpg,\"of c, in b\"\n");
    source = open_source("metadata", folder, "in/b");
    expect(source, "c.jpg", "picture c", "of c, in b\n");
    expect_end(source);
    write_text(folder, "in/b/metadata.csv", "text,file_name\nof c,c.jpg\n");
    source = open_source("metadata", folder, "in/b/metadata.csv");
    expect(source, "c.jpg", "picture c", "of c\n");
    expect_end(source);
}

static void flickr_has_three_forms(void **state)
{
    const char *folder = *state;

    make_folder(folder, "flickr30k-images");
    write_text(folder, "flickr30k-images/1.jpg", "picture 1");
    write_text(folder, "flickr30k-images/2.jpg", "picture 2");
    write_text(folder, "f.token",
               "1.jpg#0\ta \"b\" , c .\n1.jpg#1\tdog # 5\r\n2.jpg#0\tcat\n"
               "2.jpg\tno number\n2.jpg#x\tno number\n2.jpg#1\t \n2.jpg#2\n#3\tno name\n");
    th_source *source = open_source("flickr", folder, "f.token");
    expect(source, "1.jpg", "picture 1", "a \"b\" , c .\ndog # 5\n");
    expect_refused(source, "2.jpg", "broken row: line 4");
    expect_refused(source, "2.jpg", "broken row: line 5");
    expect_refused(source, "2.jpg", "empty caption: line 6");
    expect_refused(source, "2.jpg#2", "broken row: line 7");
    expect_refused(source, "", "broken row: line 8");
    expect(source, "2.jpg", "picture 2", "cat\n");
    expect_end(source);

    write_text(folder, "results.csv",
               "image_name| comment_number| comment\n"
               "1.jpg| 0| A \"dog , with | bars .\n1.jpg| 4   A dog runs\n1.jpg| 1| Two .\n");
    source = open_source("flickr", folder, "results.csv");
    expect_refused(source, "1.jpg", "broken row: line 3");
    expect(source, "1.jpg", "picture 1", "A \"dog , with | bars .\nTwo .\n");
    expect_end(source);

    write_text(folder, "captions.txt",
               "image,caption\n1.jpg,\"one, two\"\n1.jpg,three\n2.jpg,four\n");
    source = open_source("flickr", folder, "captions.txt");
    expect(source, "1.jpg", "picture 1", "one, two\nthree\n");
    expect(source, "2.jpg", "picture 2", "four\n");
    expect_end(source);
}

static void csv_takes_open_clips_options(void **state)
{
    const char *folder = *state;
    char        images[400];

    make_folder(folder, "p");
    th_test_path(images, sizeof images, folder, "p");
    write_text(folder, "p/1.jpg", "picture 1");
    write_text(folder, "c.csv", "a,image;text, long\n1,1.jpg;\"one; \"\"two\"\"\"\n");
    th_source *source = open_kind("csv", folder, "c.csv",
                                  (th_source_options){ .images = images,
                                                       .img_key = "a,image",
                                                       .caption_key = "text, long",
                                                       .separator = ";" });
    expect_refused(source, "1,1.jpg", "missing picture: line 2");
    expect_end(source);
    write_text(folder, "c.csv", "image;text, long\n1.jpg;\"one; \"\"two\"\"\"\n");
    source = open_kind(
        "csv", folder, "c.csv",
        (th_source_options){
            .images = images, .img_key = "image", .caption_key = "text, long", .separator = ";" });
    expect(source, "1.jpg", "picture 1", "one; \"two\"\n");
    expect_end(source);
    expect_no_source("csv", folder, "c.csv", (th_source_options){ .separator = "||" }, TH_EUSAGE,
                     "cannot stand between fields");
    expect_no_source("csv", folder, "c.csv", (th_source_options){ .img_key = "b" }, TH_EUSAGE,
                     "no column \"b\"");
}

#define IN_A_FOLDER(test)                                                                          \
    cmocka_unit_test_setup_teardown(test, th_test_folder_open, th_test_folder_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(coco_groups_captions_by_image),
        IN_A_FOLDER(what_is_wrong_in_coco_has_a_reason),
        IN_A_FOLDER(lists_that_are_none_are_refused),
        IN_A_FOLDER(karpathy_takes_its_splits),
        IN_A_FOLDER(metadata_names_files_and_captions),
        IN_A_FOLDER(flickr_has_three_forms),
        IN_A_FOLDER(csv_takes_open_clips_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
