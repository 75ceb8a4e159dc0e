"""The deployment: what a project must contain, as steps that can be printed or run. It needs only Python and gcloud.

- `__main__`: the command ``python -m deploy --env dev [--print] WHAT…``.
- `check`: whether a project is as the deployment makes it.
- `facts`: reads a project with gcloud, for the check.
- `parts`: what a build puts into the project: jobs, functions and schedules.
- `project`: what an owner of the project sets up once, and the table of accounts and rights in ``docs/deploy.md``.
- `steps`: steps of a deployment, printed as a shell script or run one by one.
- `values`: the values that differ between environments, read strictly.
"""
