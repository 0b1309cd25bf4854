"""Reasons of refusals: each that can come is explained, the aggregator's and a gateway's."""

import pytest

from bus.reading import RefusalError, parse
from meters.gateways.notices import notice
from meters.gateways.source import REASONS, Refusal
from resolvers.reasons import AT_GATEWAY, EXPLANATIONS, explain
from tests.meters.gateways.scripted import START


def test_whatever_a_gateway_refuses_is_explained_in_a_sentence_or_two() -> None:
    assert AT_GATEWAY.keys() == {*REASONS, "flood"}
    assert all(text[0].isupper() and text.endswith(".") and len(text) < 130 for text in AT_GATEWAY.values())


@pytest.mark.parametrize("reason", [*sorted(AT_GATEWAY), "malformed_json"])
def test_a_refusal_of_a_gateway_is_explained_as_it_arrives(reason: str) -> None:
    with pytest.raises(RefusalError) as refusal:
        parse(notice(Refusal(reason, "30 more within a minute: what is wrong"), b"raw", START))

    assert explain(refusal.value.reason, str(refusal.value)) == {**EXPLANATIONS, **AT_GATEWAY}[reason]


def test_what_no_gateway_is_known_to_say_is_explained_as_a_gateways_refusal() -> None:
    assert explain("refused_at_gateway", "newer: it is new") == EXPLANATIONS["refused_at_gateway"]
    assert explain("refused_at_gateway") == EXPLANATIONS["refused_at_gateway"]
    assert explain("register_fell", "cut: not a gateway's") == EXPLANATIONS["register_fell"]
    assert explain("newer") is None
