{{ harvest.stitch('tasks') }}
