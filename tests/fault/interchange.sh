#!/bin/bash
# tests/fault/interchange.sh BUILD - weights leave and come back: a run's checkpoint goes to open_clip's
# form, to a weights file, to Hugging Face's form and back, and no bit has changed; runs start from
# each of them, and go on when it is gone.
. "$(dirname "$0")/common.bash" "$1"

has() { grep -qE -- "$1" last.log || fail "no \"$1\" in the output: $(cat last.log)"; }
lacks() { ! grep -qE -- "$1" last.log || fail "\"$1\" in the output"; }

expect 0 "$thaw" train run.yaml for=7steps eval.every=100steps run_dir=runs/first

# --- round and round ---
expect 0 "$thaw" export runs/first --format open_clip --out open_clip
expect 0 "$thaw" import --from open_clip --out first.h5
has '^image tower 2 blocks, width 32, 2 heads, patches of 8, pictures of 16 pixels$'
has '^text tower +2 blocks, width 32, 2 heads, 16 tokens of [0-9]+$'
has '^pixels +mean 0.481455 0.457828 0.408211, deviation 0.26863 0.261303 0.275777$'
expect 0 "$thaw" export first.h5 --format hf --out hf
has 'written +hf/model.safetensors'
expect 0 "$thaw" import --from hf/model.safetensors --out second.h5
same first.h5 second.h5
expect 0 "$thaw" export second.h5 --out again
same open_clip/open_clip_model.safetensors again/open_clip_model.safetensors
expect 0 "$thaw" export second.h5 --format safetensors --out plain.safetensors
same open_clip/open_clip_model.safetensors plain.safetensors
[ -e hf/config.json ] && [ -e hf/preprocessor_config.json ] || fail "no config in hf"

# --- the pack's tokenizer goes with them ---
printf 'a red square\nA  GREEN &amp; circle 42\n' >captions.txt
"$thaw" tokenize --tokenizer packs/train --cleanup hf <captions.txt >want.txt
expect 0 "$thaw" export runs/first --format hf --out hf2
for from in open_clip hf2; do
    for file in vocab.json merges.txt tokenizer.json; do
        "$thaw" tokenize --tokenizer $from/$file <captions.txt >got.txt
        same want.txt got.txt
    done
    [ -e $from/tokenizer_config.json ] && [ -e $from/special_tokens_map.json ] || fail "no config in $from"
done
grep -q '"hf_tokenizer_name"' open_clip/open_clip_config.json || fail "open_clip is not told of the tokenizer"
expect 0 "$thaw" pack --from csv:pictures/pictures.tsv --to packs/again --size 16 --codec raw --tokenizer hf2 --cleanup open_clip
expect 0 "$thaw" inspect packs/again
has '^tokenizer .* cleanup open_clip$'

# --- what takes a run takes weights ---
expect 0 "$thaw" eval runs/first --json
sed 's/"step": [0-9]*/"step": 0/' last.log >run.json
for weights in first.h5 hf open_clip; do
    expect 0 "$thaw" eval $weights --data packs/val --json
    sed 's/"step": [0-9]*/"step": 0/; /^[^{]/d' last.log >weights.json
    # Heads are not in the shapes; the batch, which the loss is over, is not in the weights.
    same <(sed 's/"val\/loss": [^,]*,//' run.json) <(sed 's/"val\/loss": [^,]*,//' weights.json)
done
expect 0 "$thaw" query first.h5 --data packs/val "a red square"
expect 2 "$thaw" eval first.h5
has 'weights have no pack of their own'
expect 0 "$thaw" ckpt show first.h5
has '^parameters +[0-9]+ tensors, [0-9]+ numbers, 0 of them with moments$'

# --- a run that starts from them: at a rate of 0 its weights stay what they were ---
cat >from.yaml <<'END'
init: {from: open_clip}
data: {train: packs/train}
batch: 8
for: 1 step
optimizer: {lr: 0}
threads: 1
memory_budget: 256 MiB
END
for source in open_clip hf first.h5 runs/first "$(newest runs/first)"; do
    rm -rf runs/from
    expect 0 ranks 2 train from.yaml init.from=$source
    has 'parameters are read from'
    grep -q '    width: 32' runs/from/config.resolved.yaml || fail "no sizes in config.resolved.yaml"
    expect 0 "$thaw" export runs/from --out from
    same open_clip/open_clip_model.safetensors from/open_clip_model.safetensors
done

# --- it goes on when the weights are gone, and not from others ---
expect 74 "$thaw" train from.yaml init.from=gone.h5 run_dir=runs/gone
has 'could not open "gone.h5"'
rm -rf runs/from
expect 0 "$thaw" train from.yaml init.from=first.h5
rm first.h5
expect 0 "$thaw" train from.yaml init.from=first.h5 for=2steps --accept-changes
has 'going on at step 1'
lacks 'parameters are read from'
expect 2 "$thaw" train from.yaml init.from=open_clip for=2steps
has 'option init.from was first.h5'

# --- what does not fit is named ---
expect 2 "$thaw" train from.yaml model.image.width=64 run_dir=runs/x
has 'option model.image.width is 64, and the weights in "open_clip" have 32'
expect 2 "$thaw" train from.yaml model.preset=tiny run_dir=runs/x
has 'option model.preset is tiny, with image.width 192, and the weights in "open_clip" have 32'
expect 2 "$thaw" train from.yaml model.activation=quick_gelu run_dir=runs/x
has 'option model.activation is quick_gelu, and the weights in "open_clip" have gelu'
expect 2 "$thaw" train from.yaml model.text.context=17 run_dir=runs/x
has 'model.text.context is 17, and the weights have positions for 16 tokens'
expect 2 "$thaw" train from.yaml init.text=hf run_dir=runs/x
has 'init.from and init.text are both set'
expect 0 "$thaw" pack --from csv:pictures/pictures.tsv --to packs/other --size 24 --codec raw --bpe 560
expect 2 "$thaw" train from.yaml data.train=packs/other model.image.size=24 run_dir=runs/z
has 'the weights are for a vocabulary of [0-9]+ tokens, and the pack has one of 560'
printf 'no weights' >bad.safetensors
expect 65 "$thaw" import --from bad.safetensors --out bad.h5
[ ! -e bad.h5 ] || fail "a file was written"

# --- another picture size, and one tower ---
expect 0 "$thaw" import --from hf --out large.h5 --image-size 24
has 'pictures of 24 pixels'
expect 0 "$thaw" pack --from csv:pictures/pictures.tsv --to packs/large --size 24 --codec raw --tokenizer packs/train
expect 0 "$thaw" eval large.h5 --data packs/large --json
expect 0 "$thaw" train from.yaml data.train=packs/large model.image.size=24 run_dir=runs/large
has 'positions of 2 x 2 patches are interpolated to 3 x 3'
expect 0 "$thaw" export runs/large --out from
expect 0 "$thaw" export large.h5 --out large
same from/open_clip_model.safetensors large/open_clip_model.safetensors
sed -i 's/init:.*/init: {image: hf}/' from.yaml
expect 0 "$thaw" train from.yaml run_dir=runs/image model.text.width=32 model.text.layers=1 model.text.heads=2 model.text.context=16
has '[0-9]+ parameters are read from "hf"'
expect 2 "$thaw" train from.yaml run_dir=runs/y model.image.layers=3
has 'option model.image.layers is 3'

# --- the bias of a sigmoid loss goes with the model where the format has a place for it ---
expect 0 "$thaw" train run.yaml for=2steps run_dir=runs/sigmoid loss.kind=sigmoid
expect 0 "$thaw" export runs/sigmoid --out sigmoid
grep -q '"init_logit_bias"' sigmoid/open_clip_config.json || fail "open_clip is not told of the bias"
expect 0 "$thaw" import --from sigmoid --out sigmoid.h5
expect 0 "$thaw" export sigmoid.h5 --out again
same sigmoid/open_clip_model.safetensors again/open_clip_model.safetensors
expect 0 "$thaw" export sigmoid.h5 --format hf --out sigmoid_hf
has 'no place for "logit_bias"'
sed -i 's/init:.*/init: {from: sigmoid}/' from.yaml
expect 0 "$thaw" train from.yaml run_dir=runs/softmax
has '1 tensors of "sigmoid" are not read: logit_bias'
sed -i 's/init:.*/init: {from: sigmoid_hf}/' from.yaml
expect 0 "$thaw" train from.yaml run_dir=runs/sigmoid2 loss.kind=sigmoid
has '1 parameters are not in "sigmoid_hf": logit_bias'

# --- BERT's text tower keeps thaw's own names ---
expect 0 "$thaw" train run.yaml for=2steps run_dir=runs/bert model.text.kind=bert model.text.pool=mean
expect 2 "$thaw" export runs/bert --out bert
has 'BERT'
expect 0 "$thaw" export runs/bert --format safetensors --out bert.safetensors
sed -i 's/init:.*/init: {text: bert.safetensors}/' from.yaml
image="model.image.size=16 model.image.patch=8 model.image.width=32 model.image.layers=2 model.image.heads=2"
expect 0 "$thaw" train from.yaml run_dir=runs/text $image model.text.heads=2
has '[0-9]+ parameters are read from "bert.safetensors"'
has 'has no config: heads are taken to be 64 wide'
grep -q '    kind: bert' runs/text/config.resolved.yaml || fail "not BERT"
expect 2 "$thaw" train from.yaml run_dir=runs/w model.text.kind=clip
has 'option model.text.kind is clip, and the weights in "bert.safetensors" are of a bert text tower'
echo "weights went round: no bit has changed"
