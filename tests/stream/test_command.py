"""What contradicts itself, or cannot be reached, is refused in a sentence before a model loads."""

import argparse
import socket

import pytest

from goemo_utils.errors import GoemoError
from goemo_utils.stream import command
from goemo_utils.stream.broker import reach

TOPICS = ["--brokers", "127.0.0.1:1", "--input", "in", "--output", "out"]


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([*TOPICS, *words])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--window", "5"], "--window is '5'"),
        (["--late", "soon"], "--late is 'soon'"),
        (["--retention", "1ms"], "at least 1000 ms"),
        (["--linger", "0s"], "--linger is '0s'"),
        (["--batch", "0"], "--batch is 0"),
        (["--partitions", "0"], "--partitions is 0"),
        (["--windows", "w"], "expected --window with it"),
        (["--input", "no topic"], "--input is 'no topic'"),
        (["--output", ".."], "--output is '..'"),
        (["--output", "in"], "named twice"),
        (["--dead", "out"], "named twice"),
        (["--kafka", "linger.ms"], "--kafka is 'linger.ms'"),
    ],
)
def test_what_contradicts_itself_is_refused(words: list[str], sentence: str) -> None:
    with pytest.raises(GoemoError, match=sentence):
        arguments = parsed(*words)
        command._spans(arguments)
        command._settings(arguments.kafka)
        command._topics(arguments)


def test_names_of_topics_follow_from_the_output() -> None:
    topics = command._topics(parsed("--window", "5s"))
    assert (topics.dead, topics.windows) == ("out-dead", "out-windows")


def test_without_a_window_there_is_no_topic_of_windows() -> None:
    assert command._topics(parsed()).windows == ""


@pytest.mark.parametrize("brokers", ["here", "host:", "127.0.0.1:port", "a:1,,"])
def test_an_address_that_is_none_is_refused(brokers: str) -> None:
    with pytest.raises(GoemoError, match="expected HOST:PORT"):
        reach(brokers if "," not in brokers else ",".join(reversed(brokers.split(","))))


def test_a_broker_that_does_not_answer_is_told_with_every_address() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(GoemoError, match=rf"No broker answers \(127.0.0.1:{port}: "):
        reach(f"127.0.0.1:{port}")


def test_one_broker_of_several_is_enough() -> None:
    with socket.socket() as closed, socket.socket() as listening:
        closed.bind(("127.0.0.1", 0))
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        ports = [one.getsockname()[1] for one in (closed, listening)]
        reach(",".join(f"127.0.0.1:{port}" for port in ports))
