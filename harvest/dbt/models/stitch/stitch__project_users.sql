{{ harvest.stitch('project_users') }}
