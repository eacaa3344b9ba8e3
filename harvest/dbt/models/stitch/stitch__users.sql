{{ harvest.stitch('users') }}
