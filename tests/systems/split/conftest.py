"""One split of the tiny model for all tests of the family: a stage takes seconds to start.

What users report of peers, each with the test that tries the same here:

- Petals 587: after a replay the next step has one token, and the cache is "broken":
  test_a_killed_stage_changes_no_token
- Petals 281, 317, 466: a server does not answer, at random: test_a_stage_that_hangs_…
- Petals 328: no server holds a block, and what to do is not said: test_without_a_spare_…
- Petals 91: the server that took over leaves too: test_a_stage_killed_while_it_recovers
- Petals 250: a long prompt takes longer than the time after which a server counts as lost:
  test_a_slow_answer_is_no_loss
- llama.cpp 9928: a client that goes in the middle of a computation crashes the server:
  test_an_interrupted_step_is_read_again, test_another_client_may_greet_a_stage
- llama.cpp 14307, distributed-llama 87: something else speaks at the port: test_strangers_…
- llama.cpp 11431: short prompts work and longer ones crash: test_the_middle_cut_too_…
- llama.cpp 14076: a reply that is none is an assertion without words: test_a_reply_of_another_…
- unslothai/llama.cpp 203: the end aborts where a peer is gone already: test_closing_after_a_kill_…
- distributed-llama 26, 98, 139: the number of machines must divide the heads and be a power of two:
  test_any_number_of_stages_survives_a_kill
- DeepSpeed 5696: a second prompt of another length has states of the wrong shape:
  test_the_middle_cut_too_and_several_texts
- accelerate 993: a model that was shared out has its embeddings and head no longer tied;
  accelerate 2692, 2812: over several devices it writes nonsense:
  test_three_cuts_of_smollm2_write_the_whole_models_text
- distributed-llama 140: workers end, or stay, when the root does: test_stages_end_with_the_client
- distributed-llama 209: the network is closed after a few texts: test_the_middle_cut_too_…
- exo 641: each machine reads all weights: test_a_stage_holds_its_own_layers_alone
- jupyter_client 437, pyzmq 1307: sockets that were used before a fork never answer in the child:
  test_a_forked_process_is_told_…
- pyzmq 236: a socket is closed while another thread waits at it: test_closing_while_another_…
- transformers 46831: layers that decode otherwise than they read a prompt write nonsense:
  test_the_middle_cut_too_…, and other layers than a Llama's are refused
- pytorch 126600: pieces of unequal length are read as if they had the first one's:
  test_the_middle_cut_too_and_several_texts
- chat.petals.dev 3: a talk grows longer than the room: test_a_split_refuses_texts_without_room_…
- chat.petals.dev 32: a text is stopped by its reader: test_without_a_spare_all_is_kept_…
- exo 775: machines that are only waited for are lost: test_stages_that_wait_take_no_…
- distributed-llama 48: the root dies without words where a machine cannot start:
  test_a_stage_that_ends_while_it_starts_says_why
- a start by ``python -m`` fails beside a random.py, or prints something first: test_surroundings
- exo 1823: after a kill the rest turns in circles at 100 %: test_stages_that_wait_take_no_…
"""

import pytest

import ensemble_lab as lab

PROMPT = "The sea is"


@pytest.fixture(scope="session")
def tiny():
    return lab.load("tiny", dtype="float64")


@pytest.fixture(scope="session")
def _halves(tiny):
    with lab.split(tiny, after=2, spares=1) as made:
        yield made


@pytest.fixture
def halves(_halves):
    """The tiny model in two stages and one spare, all alive."""
    yield _halves
    _halves.refill()


@pytest.fixture(scope="session")
def greedy(tiny):
    """What the whole model writes in 40 tokens."""
    return tiny.generate(PROMPT, 40).tokens
