/**
 * Signatures of a FIDO2 key, recorded from the software authenticator beside this file: there was no hardware in it. What
 * they prove is that ssh-keygen and our own reader agree on the format, the flags and the counter; not that a real key
 * behaves.
 */
export const recorded = {
  namespace: 'felhom-job@1',
  message: 'recorded payload\n',
  keyLine:
    'sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAINIz75Os/mdIlxIRgPUd4TFFjndFZqRLQJuK4rK549ZmAAAABHNzaDo=',
  /** Flags 0x01, counter 7. */
  touched: `-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAAEoAAAAac2stc3NoLWVkMjU1MTlAb3BlbnNzaC5jb20AAAAg0jPvk6
z+Z0iXEhGA9R3hMUWOd0VmpEtAm4risrnj1mYAAAAEc3NoOgAAAAxmZWxob20tam9iQDEA
AAAAAAAABnNoYTUxMgAAAGcAAAAac2stc3NoLWVkMjU1MTlAb3BlbnNzaC5jb20AAABAzW
YpD0FvCDufRi41vSrZmzcMZlAf66QDfEdkeTWMhMLI+8UTGLQoTgIJIs54qk9CA0gyOM17
noRoeZlUa3agAAEAAAAH
-----END SSH SIGNATURE-----
`,
  /** Flags 0x00, counter 8: the signature is good, nobody touched the key. */
  untouched: `-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAAEoAAAAac2stc3NoLWVkMjU1MTlAb3BlbnNzaC5jb20AAAAg0jPvk6
z+Z0iXEhGA9R3hMUWOd0VmpEtAm4risrnj1mYAAAAEc3NoOgAAAAxmZWxob20tam9iQDEA
AAAAAAAABnNoYTUxMgAAAGcAAAAac2stc3NoLWVkMjU1MTlAb3BlbnNzaC5jb20AAABAIW
oH4IknJb9w+OyPxRqWTUXBGNWGrrKT9HaBl/Y4jo0e3o9On2OL6XYgD7zhwYBiZl4yuKzM
jPLRHo/pcngrCgAAAAAI
-----END SSH SIGNATURE-----
`,
} as const;
