"""What a JSON Schema says of documents, by the validator that Python's world uses.

Standard input is {"schema": ..., "documents": {name: document}}, standard output {name: why it is
refused, or null}. A schema that is none ends it with an error.
"""

import json
import sys

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

asked = json.load(sys.stdin)
Draft202012Validator.check_schema(asked["schema"])
validator = Draft202012Validator(asked["schema"])


def judge(document):
    error = best_match(validator.iter_errors(document))
    return error and f"{error.json_path}: {error.message}"


json.dump({name: judge(document) for name, document in asked["documents"].items()}, sys.stdout)
