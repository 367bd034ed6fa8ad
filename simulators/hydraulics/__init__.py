"""What water does in a network: EPA SWMM runs once in a process of its own, and leaves hydrographs."""
