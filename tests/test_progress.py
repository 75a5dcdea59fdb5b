"""Progress in words: what modules report in numbers becomes lines in one place."""

from losslab.progress import Lines, Running, State, counting, line


def test_lines_come_now_and_then_with_rate_and_time_and_news_at_once():
    now, told = [0.0], []
    tell = Lines(told.append, every_seconds=2.0, clock=lambda: now[0])
    for at, *reported in [
        (0.0, "the cached corpus is damaged", 0, 0),
        (0.0, "reading", 1_000_000, 0),
        (1.9, "reading", 2_000_000, 0),  # not yet
        (2.5, "reading", 3_500_000, 0),
        (3.0, "writing", 4_000_000, 5_000_000),  # other work: its own rate, and nothing is said of what is short
        (5.0, "writing", 4_200_000, 5_000_000),
        (6.0, "writing", 4_300_000, 5_000_000),
        (9.0, "tokenizing", 1_000_000, 53_200_000),
        (19.0, "tokenizing", 2_000_000, 53_200_000),
    ]:
        now[0] = at
        tell(*reported)
    assert told == ["the cached corpus is damaged", "reading: 3.5 MB, 1.0 MB/s",
                    "writing: 4.2 of 5.0 MB, 0.1 MB/s, 8 s left",
                    "tokenizing: 2.0 of 53.2 MB, 0.1 MB/s, 8 min 32 s left"]  # fmt: skip


def test_many_short_works_after_each_other_are_not_a_silence():
    now, told = [0.0], []
    tell = Lines(told.append, every_seconds=15.0, clock=lambda: now[0])
    for run in range(8):
        for seconds in (1, 2, 3):
            now[0] += 1
            tell(f"trying {run}.py", seconds, 0, "seconds")
        now[0] += 1
        tell("checking runs", run + 1, 8, "runs")
    assert told == ["checking runs: 4 of 8 runs", "trying 7.py: 3 s so far"]


def test_what_was_done_before_is_not_the_rate_and_a_loop_need_not_know_what_it_counts():
    now, told = [100.0], []
    count = counting(Lines(told.append, every_seconds=5.0, clock=lambda: now[0]), "piqa", "requests")
    for now[0], done in [(100.0, 0), (101.0, 1800), (102.0, 2000), (110.0, 3600)]:
        count(done, 7200)
    assert told == ["piqa: 3,600 of 7,200 requests, 200 requests/s, 18 s left"]


def test_a_second_work_of_the_same_name_has_its_own_rate():
    now, states = [0.0], []
    tell = Lines(lambda text: None, clock=lambda: now[0])
    tell.show = states.append
    for now[0], done, total in [(1.0, 100, 1000), (9.0, 900, 1000), (100.0, 10, 50), (101.0, 20, 50)]:
        tell("training", done, total, "tokens")
    assert [state.per_second for state in states] == [0, 100, 0, 10] and states[-1].seconds_left == 3


def test_training_is_told_from_the_start():
    told = []
    tell = Lines(told.append, clock=lambda: 0.0)
    tell("training", 0, 500, "tokens", [Running("mse\n", 3), Running("mse", 4, "waiting")])
    tell("training", 100, 500, "tokens", [Running("mse\n", 3, "training", 0.4), Running("mse", 4, "waiting")])
    assert told == ["0 % trained, 0 of 2 runs done; mse\\n seed 3: starting"]
    trial = Running("classic", 1_000_000, "training", 0.4, trial="0.016")
    assert line(State("training", 4, 10, "tokens", [trial])) == "40 % trained; classic: trial 0.016: training 40 %"


def test_a_rate_that_rounds_to_nothing_is_left_out():
    slow = State("trying formulas", 3, 13, "formulas", (), 0.01, 1000.0)
    assert line(slow) == "trying formulas: 3 of 13 formulas, 16 min 40 s left"
