"""The cutover gate: decides GO or NO-GO, each check with its evidence.

- `canary`: writes one object on the legacy path, sees it arrive on the new path, and removes it again
- `checks`: decides each check from its evidence
- `dead_letters`: reads the events that the mirror's trigger gave up
- `evidence`: gathers the evidence, once and only when a check asks for it
- `import_record`: reads an import test's report
- `verdict`: runs every check in the order of the table, and leaves the result
"""
