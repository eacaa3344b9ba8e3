"""The sandbox keeps its promises over real HTTP."""
