"""What needs a Docker Engine. The docker SDK is imported here and in the keychain only."""
