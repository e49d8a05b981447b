"""What clients see of a tier while faults strike it is what the databases promise: the short form, two seeds whose
faults come fast. `make soak` goes on with others."""
import pytest

from history.trial import Trial, tier_under_trial

ROUNDS = 2


@pytest.fixture(scope='module')
def live(weir):
    with tier_under_trial(weir) as inside:
        yield inside


# 698: a node, a guard, a node that stands still, weir serve, the proxy, a Redis; 902: mostly planned changes
@pytest.mark.parametrize('seed', [698, 902])
def test_what_clients_see(live, seed):
    verdict = Trial(live, seed).run(ROUNDS)
    print(verdict)
    assert not verdict.problems, verdict
