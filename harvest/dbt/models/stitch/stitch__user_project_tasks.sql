{{ harvest.stitch('user_project_tasks') }}
