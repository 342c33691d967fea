# Python keeps what it has compiled, whatever the environment says: without that each of the suite's processes, and there
# are hundreds, compiles PyTorch's 900 modules again.
export PYTHONDONTWRITEBYTECODE :=

BIN := .venv/bin
# One thread a worker: two workers that each take both cores are slower than one.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder
# 44 s of read English, in a package that is found and not imported.
DEMO_SPEECH := 'from importlib.util import find_spec as find; \
	print(find("moonshine_voice").submodule_search_locations[0] + "/assets/two_cities.wav")'

.PHONY: serve env browser speech golden golden-files check-pythons check-sizes demo test lint types tests format bench reports clean

env: ## set .venv up
	@scripts/setup-env

demo: env ## transcribe 44 s of read English with Whisper base
	@$(BIN)/ttscribe transcribe --model base --format vtt "$$($(BIN)/python -c $(DEMO_SPEECH))"

serve: env ## serve OpenAI's transcription API with Whisper base; ADDRESS and PORT choose where
	@$(BIN)/ttscribe serve --model base --host $(or $(ADDRESS),127.0.0.1) --port $(or $(PORT),8000)

test: lint types tests ## everything that CI runs

lint: env
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: env
	@$(BIN)/mypy

tests: env browser speech
	@$(PYTEST)

golden: env speech ## every recording with tiny.en and base, word error rates included: ten minutes more than in tests
	@TTSCRIBE_GOLDEN=all $(PYTEST) tests/test_golden.py

check-sizes: env ## the largest sizes through TT-NN on a mock board too: two minutes more than in tests
	@TTSCRIBE_CHECK=all $(PYTEST) tests/check/test_models.py

check-pythons: env ## the wheel on every Python that it claims, where tests take the oldest and the newest
	@TTSCRIBE_INSTALL=all $(PYTEST) tests/test_install.py

golden-files: env speech ## make tests/golden again, with transformers: minutes
	@PYTHONPATH=tests $(BIN)/python -m golden.make

browser: ## a headless Chromium for the test of HTML reports, where it can be had
	@scripts/setup-browser

speech: env ## recordings from a Debian package, where it can be had
	@scripts/setup-speech

format: env
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: env ## speed and memory of base beside transformers, faster-whisper and whisper.cpp
	@$(BIN)/ttscribe bench base --peers

reports: env ## make docs/models and the model table again
	@$(BIN)/python -W ignore bench/model_reports.py

clean: ## remove .venv and caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
