{{ harvest.stitch('roles') }}
