# make demo   fly the shipped policy in the embedded simulator; VEHICLE=rover drives one around a road
# make test   lint, types and every test
# make lint   the quick part of it
# make docs   the documentation as a site, in build/docs/index.html
# make policies   train the policies that ship anew, in runs/policies: two hours of CPU; POLICY=lane
#             makes one. Stop it when you like, the same command goes on
# make campaign   for docs/results: every test on Jazzy and on Kilted, about 40 minutes; the fault
#             campaign, 15 minutes; and every cell trained on the sequence benchmarks, up to 24 hours of
#             CPU, in WORKERS=2 processes. TESTS= and FAULTS= leave out the first and the second.
#             Stop it when you like, the same command goes on
# make clean  remove the environment and caches
#
# Each makes .venv itself at first. PYTHON=python3.12 chooses its Python; VENV=DIR uses another
# environment as it is, and installs nothing there; ARGS="..." goes to lnn_ros demo, to pytest or to
# scripts/policies.py.

PYTHON := python3
TESTS := docs/results/distributions.json
FAULTS := docs/results/faults.json
ENV := $(or $(VENV),.venv)
RUN := $(ENV)/bin/python

# $(call environment,extras)
define environment
@command -v $(PYTHON) >/dev/null || { echo "lnn_ros: there is no $(PYTHON): install Python 3.10 \
	to 3.14 with its venv module, or name one with PYTHON=/path/to/python3." >&2; exit 1; }
@$(PYTHON) scripts/bootstrap.py $(if $(VENV),--given $(VENV) $(1),$(if \
	$(filter command% environment%,$(origin PYTHON)),--python $(PYTHON)) $(1))
endef

.PHONY: demo test lint docs policies campaign clean

demo:
	$(call environment,ros$(,)sim)
	@$(RUN) -m lnn_ros.cli demo $(if $(VEHICLE),--vehicle $(VEHICLE)) $(ARGS)

test:
	$(call environment,ros$(,)sim$(,)train$(,)dev)
	@$(RUN) -m pytest -n 2 --dist loadgroup --no-loadscope-reorder $(ARGS)

lint:
	$(call environment,ros$(,)sim$(,)train$(,)dev)
	@$(RUN) -m pytest test/test_lint.py

docs:
	$(call environment,dev)
	@$(RUN) -m mkdocs --quiet build --strict && echo "lnn_ros: build/docs/index.html is up to date."

policies:
	$(call environment,ros$(,)sim$(,)train)
	@$(RUN) scripts/policies.py $(POLICY) $(ARGS)

campaign:
	$(call environment,ros$(,)sim$(,)train)
	@failed=0; $(if $(TESTS),$(PYTHON) scripts/distributions.py --json $(TESTS) || failed=1;) \
		$(if $(FAULTS),$(RUN) -m lnn_ros.cli faults --json $(FAULTS) || failed=1;) for name in xor memory forecast; do \
		$(RUN) benchmark/$$name.py --workers $(or $(WORKERS),2) \
			--json docs/results/$$name.json $(ARGS) || failed=1; done; exit $$failed

clean:
	rm -rf .venv .venv-kilted build install log dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

, := ,
