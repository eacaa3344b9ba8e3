{{ harvest.stitch('time_entries') }}
