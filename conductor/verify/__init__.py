"""Is every job of a manifest done, and are its outputs what its receipt says?"""
