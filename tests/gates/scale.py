"""The house of a million people: made once by the program itself, and what the gates on it have in common.

`FINELINE_PEOPLE` (1,000,000), `FINELINE_EVENTS` (five for each), `FINELINE_FIXTURE` (target/gates/fixture-PEOPLE) say how many and
where. Making it is the measurement of ingest at scale: `ingest.jsonl` in the folder has a line for each 100,000 events."""

import json
import os
import shutil
import subprocess
import sys

from house import PROGRAM, SEED, TOP, House, build

PEOPLE = int(os.environ.get("FINELINE_PEOPLE") or 1_000_000)
EVENTS = int(os.environ.get("FINELINE_EVENTS") or 5 * PEOPLE)
FOLDER = os.environ.get("FINELINE_FIXTURE") or os.path.join(TOP, "target", "gates", f"fixture-{PEOPLE}")
EXAMPLES = os.environ.get("FINELINE_EXAMPLES") or os.path.join(TOP, "target", "release", "examples")
SHOP = os.path.join(TOP, "crates", "promise", "fixtures", "shop.toml")


class Scale(House):
    """The house of a million in a folder of its own; `copied` = one that may be written to."""

    def __init__(self, copied):
        super().__init__(open(SHOP).read(), within=os.path.dirname(FOLDER))
        made = json.load(open(os.path.join(FOLDER, "made.json")))
        self.key, self.n_events = made["key"], made["events"]
        source = os.path.join(FOLDER, "house")
        self.data = os.path.join(source, "data")
        if copied:
            for part in ("data", "keys"):
                shutil.copytree(os.path.join(source, part), self.path(part))
            self.data = self.path("data")

    def measure(self, what, n, seed=SEED):
        """The line of `examples/scale`."""
        program = os.path.join(EXAMPLES, "scale")
        out = subprocess.run(
            [program, what, SHOP, os.path.dirname(self.data), str(PEOPLE), str(seed), str(n)], capture_output=True, text=True
        )
        if out.returncode:
            sys.exit(f"scale {what} ended with {out.returncode}:\n{out.stderr[-2000:]}")
        return json.loads(out.stdout.splitlines()[-1])


def make():
    """The fixture, unless it is there."""
    build()
    if "FINELINE_EXAMPLES" not in os.environ:
        command = ["cargo", "build", "--release", "--locked", "--quiet", "-p", "fineline", "--example", "fixture", "--example", "scale"]
        subprocess.run(command, cwd=TOP, check=True)
    if os.path.exists(os.path.join(FOLDER, "made.json")):
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(os.path.join(FOLDER, "house"))
    house = House(open(SHOP).read(), within=FOLDER)
    house.data = os.path.join(FOLDER, "house", "data")
    os.makedirs(os.path.join(FOLDER, "house", "keys"))
    house.command("init")
    house.command("apply", "--as", "Gate", "--yes")
    key = house.json("source", "key", "shop")["key"]
    house.folder.cleanup()
    with open(os.path.join(FOLDER, "ingest.jsonl"), "w") as lines:
        command = [os.path.join(EXAMPLES, "fixture"), SHOP, os.path.join(FOLDER, "house"), "fjall", str(PEOPLE), str(EVENTS), str(SEED)]
        subprocess.run(command, stdout=lines, check=True)
    with open(os.path.join(FOLDER, "made.json"), "w") as made:
        json.dump({"people": PEOPLE, "events": EVENTS, "seed": SEED, "key": key, "program": PROGRAM}, made)


def ingest():
    """What making it cost, by so many events as there are people: one line each."""
    rows = [json.loads(line) for line in open(os.path.join(FOLDER, "ingest.jsonl"))]
    step = max(1, len(rows) * PEOPLE // max(1, EVENTS))
    parts = [rows[at : at + step] for at in range(0, len(rows), step)]

    def mean(part, name):
        return sum(row[name] for row in part) / len(part)

    names = ("cpu_us", "judge_us", "seal_us", "write_us", "publish_us", "plain_bytes", "written_bytes", "device_bytes")
    table = [{name: mean(part, name) for name in names} | {"rss_mib": part[-1]["rss_mib"]} for part in parts if part]
    for number, row in enumerate(table, 1):
        stages = ", ".join(f"{name[:-3]} {row[name]:.1f}" for name in names[1:5])
        print(
            f"part {number}: {row['cpu_us']:.1f} µs of CPU an event ({stages} µs by the clock), {row['written_bytes']:,.0f} bytes "
            f"written for {row['plain_bytes']:,.0f} of plain records ({row['written_bytes'] / row['plain_bytes']:.2f}), "
            f"device {row['device_bytes'] / row['plain_bytes']:.2f}, {row['rss_mib']:.0f} MiB"
        )
    print(f"longest write of one batch {rows[-1]['longest_write_ms']:.0f} ms; last part / first {table[-1]['cpu_us'] / table[0]['cpu_us']:.2f}")
    return table
