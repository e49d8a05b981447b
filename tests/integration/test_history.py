"""What clients see of a tier while faults strike it is what the databases promise: the short form, one seed whose
faults come fast. `make soak` goes on with others."""
import pytest

from history.trial import Trial, tier_under_trial

pytestmark = pytest.mark.timeout(600)
ROUNDS = {698: 1}


@pytest.fixture(scope='module')
def live(weir):
    with tier_under_trial(weir) as inside:
        yield inside


# A node, a guard, a node that stands still, weir serve, the proxy, a Redis.
@pytest.mark.parametrize('seed', ROUNDS)
def test_what_clients_see(live, seed):
    verdict = Trial(live, seed).run(ROUNDS[seed])
    print(verdict)
    assert not verdict.problems, verdict
