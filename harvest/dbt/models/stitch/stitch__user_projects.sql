{{ harvest.stitch('user_projects') }}
