{{ harvest.stitch('projects') }}
