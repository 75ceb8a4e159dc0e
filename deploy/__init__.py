"""The deployment: what has to be in a project, as steps that can be printed or performed. Needs nothing but Python and gcloud.

- `__main__`: sets up a project, and puts the parts into it: ``python -m deploy --env dev [--print] WHAT…``.
- `parts`: what a build puts into the project: jobs, functions, schedules; each as it shall be, whatever it was.
- `project`: what an owner of the project sets up once: services, the image repository, accounts, roles, and who may do what.
- `steps`: steps of a deployment: printed as a shell script, or performed one by one with the same meaning.
- `table`: who may do what where, as the table of ``docs/deploy.md``.
- `values`: what differs between the environments: the lines of ``deploy/{dev,stg,prod}.env``, read strictly.
"""
