/* launch/verbs.c - the table of commands. */
#include "launch/verb.h"
#include "launch/verbs/cache.h"
#include "launch/verbs/ckpt.h"
#include "launch/verbs/doctor.h"
#include "launch/verbs/embed.h"
#include "launch/verbs/eval.h"
#include "launch/verbs/export.h"
#include "launch/verbs/import.h"
#include "launch/verbs/inspect.h"
#include "launch/verbs/pack.h"
#include "launch/verbs/plan.h"
#include "launch/verbs/query.h"
#include "launch/verbs/status.h"
#include "launch/verbs/tokenize.h"
#include "launch/verbs/train.h"

const th_verb th_verbs[] = {
    { "pack", "--from wds:'data/*.tar' --to packs/x [--size 224] [--val 0.1] ...",
      "Turn pictures and captions into a pack of LMDB shards",
      "Sources are KIND:PATH (docs/packs.md tells more of each):\n"
      "  wds:'data/{000..127}.tar'   WebDataset tars; :: joins lists; --captions json:caption\n"
      "  img2dataset:laion           what img2dataset wrote, tars or files\n"
      "  folder:photos               pictures with a .txt beside each, folders in it too\n"
      "  csv:captions.csv            a table as open_clip reads it: --csv-img-key, "
      "--csv-caption-key\n"
      "  coco:captions_val2017.json  COCO's captions; --images when not beside\n"
      "  karpathy:dataset_coco.json  Karpathy's splits; --split test, or train,restval\n"
      "  metadata:photos             Hugging Face's metadata.jsonl or metadata.csv in photos\n"
      "  flickr:results.csv          Flickr30k's, or its .token file, or captions.txt\n"
      "  cn_clip:train_imgs.tsv      Chinese-CLIP's, with train_texts.jsonl beside\n"
      "  idx:train-images-idx3-ubyte.gz  MNIST's form, labels beside; --classes names.json\n"
      "What cannot be used is named with its reason in quarantine.jsonl. Killed, the same command "
      "goes "
      "on.\nUnder mpirun ranks share the work, and the pack is the same.\n",
      th_verb_pack, th_pack_verb_options },
    { "inspect", "PACK [--verify] [--sample 16 [--out x.png]]",
      "Tell what a pack holds, and whether it is whole", NULL, th_verb_inspect,
      th_inspect_verb_options },
    { "tokenize", "--tokenizer FILE|FOLDER|PACK [--context 77] < captions.txt",
      "Print the token ids of captions, a line for each",
      "Reads CLIP's bpe_simple_vocab_16e6.txt.gz, vocab.json beside merges.txt, tokenizer.json, "
      "BERT's\n"
      "vocab.txt, and what a pack holds. One caption a line, any bytes.\n",
      th_verb_tokenize, th_tokenize_verb_options },
    { "train", "[-n N] run.yaml [option=value ...]",
      "Train a model, or go on with one that was stopped or killed",
      "Start it by `thaw train -n 4 run.yaml`, `mpirun -n 4 thaw train run.yaml` or `srun thaw "
      "train\n"
      "run.yaml`. The same command starts and resumes. An option comes from the run file, from "
      "the\n"
      "environment (THAW_OPTIMIZER_LR) or from the command line (optimizer.lr=1e-4); the later "
      "wins.\n"
      "`thaw help stages` tells what may stand in an item of stages.\n"
      "USR1, TERM, INT or `thaw stop RUN`: checkpoint at the next step, exit code 85.\n",
      th_verb_train, th_train_verb_options },
    { "plan", "run.yaml [option=value ...] [-n N] [--ranks N] [--probe] [--json]",
      "Tell what each stage of a run will need, before it trains",
      "Memory by what it is for, bytes sent, disk; of a run that has begun, of what is left. With "
      "--probe\n"
      "some steps of each stage are done, and the time of the whole follows: thaw plan -n 4 "
      "--probe\n"
      "run.yaml. Nothing is written to the run directory. Exit code 2 when a stage cannot run.\n",
      th_verb_plan, th_plan_verb_options },
    { "eval", "RUN|weights.h5 [--data PACK] [--zeroshot classes.json [--labels FILE]] [--json]",
      "Measure recall of a run's newest checkpoint, or how well it sorts pictures into classes",
      "classes.json: {\"classes\": [\"cat\"], \"templates\": [\"a photo of a {c}.\"]}, or "
      "CLIP_benchmark's\nclass names with --templates. A picture's class is the one whose name or "
      "prompt is among its\ncaptions, or what --labels says: lines of picture, TAB, class, or of "
      "source, TAB, key, TAB, class;\nor JSON {\"picture\": \"class\"} or {\"source\": {\"key\": "
      "\"class\"}}. A picture is its id as\n`thaw inspect` prints it, a class its name or place in "
      "the list. Under mpirun the ranks share the\nwork.\n",
      th_verb_eval, th_eval_verb_options },
    { "query", "RUN \"a red apple\" [\"a dog\" ...] [-k 5] [--html out.html]",
      "Find the pictures that fit a text best", NULL, th_verb_query, th_query_verb_options },
    { "embed", "RUN|weights.h5 [--images FOLDER|PACK] [--captions FILE] --out x.safetensors|x.h5",
      "Write the features of pictures and captions, with their names",
      "A pack without --captions brings its own. Pictures of a folder are prepared as the run's "
      "were.\n"
      "Weights without a pack want --tokenizer for captions. Under mpirun the ranks share the "
      "work.\n",
      th_verb_embed, th_embed_verb_options },
    { "import", "--from FOLDER|FILE.safetensors --out weights.h5 [--image-size 336]",
      "Turn weights of open_clip or Hugging Face into a file of thaw's",
      "What takes a RUN to look at a model takes the file as well; a run starts from it by init: "
      "{from:\nweights.h5}.\n",
      th_verb_import, th_import_verb_options },
    { "export", "RUN|weights.h5 [--format open_clip|hf|safetensors] --out FOLDER",
      "Write a model as open_clip or Hugging Face load it",
      "Of a run, the newest good checkpoint. Load it by open_clip.create_model_and_transforms(\n"
      "'local-dir:FOLDER') or transformers.CLIPModel.from_pretrained('FOLDER').\n",
      th_verb_export, th_export_verb_options },
    { "ckpt ls", "RUN", "List the checkpoints of a run", NULL, th_verb_ckpt_ls, NULL },
    { "ckpt show", "RUN|FILE.h5 [--names]", "Tell what a checkpoint holds",
      "Of a run, the newest good one.\n", th_verb_ckpt_show, th_ckpt_show_verb_options },
    { "ckpt verify", "RUN", "Read every checkpoint of a run against its hashes", NULL,
      th_verb_ckpt_verify, NULL },
    { "cache build", "[-n N] run.yaml [--stage NAME] [option=value ...]",
      "Compute ahead what the frozen towers of a stage make of each sample",
      "Ranks share the work; what is there already is passed over, so a build that was stopped or "
      "killed\n"
      "goes on. The weights must be known by now: no stage in between trains them.\n",
      th_verb_cache_build, th_cache_build_verb_options },
    { "cache ls", "RUN|FOLDER", "List what frozen towers have computed and kept", NULL,
      th_verb_cache_ls, NULL },
    { "cache rm", "RUN|FOLDER KEY, or --all", "Remove such a cache; a run that uses it goes on",
      NULL, th_verb_cache_rm, th_cache_rm_verb_options },
    { "status", "RUN [--json]", "Tell where a run stands: its stage, and what trains in it",
      "It reads the run directory and disturbs nothing. States: running, stopping, stopped, done, "
      "failed,\n"
      "killed. The same command that started a run goes on with it in all but the first two.\n",
      th_verb_status, th_status_verb_options },
    { "stop", "RUN", "Ask a run, on any node, to checkpoint and stop at its next step", NULL,
      th_verb_stop, NULL },
    { "doctor", "[-n N] [run.yaml]", "Check what a run stands on, and say what to set right",
      "MPI, OpenBLAS and its products, cores and threads, memory, disk, HDF5; with a run file also "
      "what\n"
      "it asks for. Under mpirun it sees how the ranks are bound. Exit code 1 when something "
      "cannot "
      "work.\n",
      th_verb_doctor, th_doctor_verb_options },
    { "help", "[COMMAND|stages]", "Tell more of a command, or the options of a stage", NULL,
      th_verb_help, NULL },
};
const int th_verb_count = sizeof th_verbs / sizeof *th_verbs;
