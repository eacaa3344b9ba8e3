{{ harvest.stitch('project_tasks') }}
