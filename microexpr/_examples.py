"""What ``--help`` teaches: examples of each command, and what its exit status says."""

from __future__ import annotations

#: Of each command, lines that can be typed, and what they do.
EXAMPLES = {
    "demo": [
        ("microexpr demo", "8 drawn faces, 80 clips; about 20 seconds"),
        ("microexpr demo --faces portraits --seed 1", "with portraits as the subjects' faces"),
    ],
    "simulate": [
        ("microexpr simulate data", "26 subjects, 246 clips"),
        ("microexpr simulate long --long --videos 2", "long videos, to spot in"),
    ],
    "describe": [
        ("microexpr describe clip.mp4", "writes clip.npz and clip.png"),
        ("microexpr describe frames --face --blocks 4 4", "a folder of images, cropped to the face"),
    ],
    "crop": [
        ("microexpr crop clip.mp4 faces", "one video"),
        ("microexpr crop casme2 CASME2 faces --raw", "every clip of a data set"),
    ],
    "spot": [
        ("microexpr spot long.mp4 --model casme2.npz", "onset, apex, offset and class of each"),
        ("microexpr spot samm-lv SAMM --json", "scores over a data set, for machines"),
    ],
    "extract": [
        ("microexpr extract casme2 CASME2 --store casme2.zarr", "what it holds already is skipped"),
        ("microexpr extract casme2 CASME2 --blocks 8 8 --blocks 4 4", "two grids, decoded once"),
    ],
    "check": [("microexpr check casme2.zarr", "clips, features, versions, damage")],
    "evaluate": [
        ("microexpr evaluate casme2 CASME2 --store casme2.zarr", "the paper's table and Fig. 4"),
        ("microexpr evaluate --config experiment.toml --seed 1", "options from a file, one of them other"),
        ("microexpr evaluate --from microexpr-evaluation/evaluation.json --out again", "bit for bit"),
    ],
    "train": [
        ("microexpr train casme2 CASME2 --model casme2.npz", "the paper's recipe"),
        ("microexpr train casme2 CASME2 --model best.npz --recipe auto", "a recipe chosen inside"),
    ],
    "classify": [
        ("microexpr classify casme2.npz clip.mp4 frames", "a video and a folder of images"),
        ("microexpr classify casme2.npz clips --csv classes.csv", "all clips of a folder"),
    ],
    "warmup": [("microexpr warmup", "half a minute the first time, a second from then on")],
    "doctor": [("microexpr doctor", "what to add to a report of a problem")],
    "completion": [
        ("microexpr completion bash > ~/.local/share/bash-completion/completions/microexpr", ""),
        ("microexpr completion zsh > ~/.zsh/completions/_microexpr", "a folder of $fpath"),
        ("microexpr completion fish > ~/.config/fish/completions/microexpr.fish", ""),
    ],
}

#: What status 1 says, of commands that have it.
_PARTLY = {
    "crop": "some clips had to be left out",
    "spot": "some videos of a data set had to be left out",
    "extract": "some clips had to be left out",
    "check": "something is damaged or outdated",
    "classify": "some clips could not be classified",
    "warmup": "no folder can be written to: every process compiles anew",
    "doctor": "something that is needed is missing, or no kernels can be kept",
}

STATUS = (
    "exit status: 0 done; 1 done in part (the command's own help says when); 2 cannot be done, and why in "
    "one line; 130, 143, 129 stopped by Ctrl-C, SIGTERM, SIGHUP."
)


def epilog_of(command: str) -> str:
    """Return what stands below the options of a command."""
    lines = ["examples:"]
    for example, text in EXAMPLES[command]:
        lines += [f"  {example}", *([f"      {text}"] if text else [])]
    partly = f"1 {_PARTLY[command]}; " if command in _PARTLY else ""
    lines += ["", f"exit status: 0 done; {partly}2 cannot be done, and why in one line;"]
    return "\n".join([*lines, "  130, 143, 129 stopped by Ctrl-C, SIGTERM, SIGHUP"])
