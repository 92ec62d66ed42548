#!/bin/bash
# tests/fault/progress.sh BUILD - the progress line as a terminal shows it: a pty of 100 columns on which the
# bytes of a run in stages are drawn. One line, never wrapped, with bar, share, stage, event and loss; lines of
# the log stand above it, whole.
. "$(dirname "$0")/common.bash" "$1"
python=/usr/bin/python3

cat >>run.yaml <<'END'
stages:
  - {name: text, train: [text, heads], for: 200 steps}
  - {name: melt, unfreeze: {tower: image, from: top, one_group_every: 60 steps}}
END

cat >watch.py <<'END'
import fcntl, os, pty, re, struct, sys, termios

columns = int(sys.argv[1])
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    os.execv(sys.argv[2], sys.argv[2:])
data = b""
while True:
    try:
        piece = os.read(fd, 65536)
    except OSError:
        break
    if not piece:
        break
    data += piece
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
text = data.decode()
bars, lines, line = [], [], ""
for part in re.split(r"(\r\n|\r\033\[K)", text):
    if part == "\r\n":
        lines.append(line)
        line = ""
    elif part == "\r\033[K":
        line = ""  # what was there is drawn over
    else:
        line += part
        if line.startswith("train ["):
            bars.append(line)
assert code == 0, (code, text)
assert line == "", "left on the screen: %r" % line
for bar in bars:
    assert len(bar) < columns, (len(bar), bar)
    assert re.match(r"train \[=*>? *\] [ 0-9]{3}%  ", bar), bar
for line in lines:
    assert "train [" not in line, "a line of the log stands behind the bar: %r" % line
for word in sys.stdin.read().splitlines():
    assert any(re.search(word, bar) for bar in bars), (word, bars)
assert sum("stage \"melt\": thaws" in l for l in lines) == 2, lines
print(len(bars), "lines drawn, the last one", bars[-1])
END

watch() { timeout 60 "$python" watch.py "$@" >bars.log 2>&1 || fail "$(cat bars.log)"; }

watch 160 "$thaw" train run.yaml run_dir=runs/wide <<'END'
\[=+> +\] .*text \(1 of 2\)  step \d+/380  loss \d\.\d{4}  [0-9.]+ samples/s
left 0m \d\ds  
  melt begins  melt \(2 of 2\)  step 
  melt thaws image\.blocks\[0\]  melt \(2 of 2\)  step 
  melt thaws image\.embed  melt \(2 of 2\)  step 
R@1 [0-9.]+%$
END
tail -1 bars.log
watch 60 "$thaw" train run.yaml run_dir=runs/narrow <<'END'
^train \[=+> *\] 
END
watch 70 "$(command -v mpirun)" -n 2 --oversubscribe --bind-to none --quiet "$thaw" train run.yaml run_dir=runs/two <<'END'
^train \[=+> *\] 
melt thaws image
END
