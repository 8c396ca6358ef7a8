/** SSH host keys: OpenSSH's own tool in a guest; a public key alone where nobody will ever log in. */
import { spawn } from 'node:child_process';
import { ed25519Line } from '@felhom/protocol';
import { guestPaths } from '../paths.ts';
import type { GuestFiles, HostKeys, Random } from '../ports.ts';

/** `ssh-keygen -A`: makes every kind that is missing (ssh-keygen(1)). */
export const opensshHostKeys: HostKeys = {
  make: () =>
    new Promise((done, fail) => {
      const child = spawn('ssh-keygen', ['-A'], { stdio: 'ignore' });
      child.once('error', fail);
      child.once('exit', (code) =>
        code === 0 ? done() : fail(new Error(`cannot make host keys: ssh-keygen ended with ${code}`)),
      );
    }),
};

/** No private key goes with it. */
export function publicKeyOnly(files: GuestFiles, random: Random): HostKeys {
  return {
    make: () =>
      files.write(
        `${guestPaths.sshFolder}/ssh_host_ed25519_key.pub`,
        new TextEncoder().encode(`${ed25519Line(random.bytes(32))}\n`),
        0o644,
      ),
  };
}
