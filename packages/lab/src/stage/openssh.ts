/**
 * `ssh-keygen` is the one program outside of Node that signed work needs: it signs for people and verifies for hosts. A
 * fresh Debian may lack it. Whatever starts here and needs it calls `ensureSshKeygen` first.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

export type Openssh = { readonly is: 'there' } | { readonly is: 'missing'; readonly text: string };

/** What a fresh machine is like, and what may be done to it. */
export interface OpensshWorld {
  readonly path: string;
  readonly isExecutable: (file: string) => boolean;
  readonly isRoot: boolean;
  /** Answers whether it ended well. */
  readonly run: (program: string, args: readonly string[]) => boolean;
  readonly say: (line: string) => void;
}

const missing: Openssh = {
  is: 'missing',
  text: 'ssh-keygen is not installed, so nothing can be signed here; install it with: apt-get install openssh-client',
};

export function findSshKeygen(world: Pick<OpensshWorld, 'path' | 'isExecutable'> = thisMachine()): Openssh {
  return has(world, 'ssh-keygen') ? { is: 'there' } : missing;
}

/** Installs `openssh-client` where that is possible: as root, with apt-get. Says so in one line; never throws. */
export function ensureSshKeygen(world: OpensshWorld = thisMachine()): Openssh {
  const found = findSshKeygen(world);
  if (found.is === 'there' || !world.isRoot || !has(world, 'apt-get')) return found;
  world.say('felhom: installing openssh-client, which brings ssh-keygen ...');
  // Without fresh lists a new container knows of no package; where they cannot be had, old ones may do.
  world.run('apt-get', ['-qq', 'update']);
  world.run('apt-get', ['-qq', '-y', '--no-install-recommends', 'install', 'openssh-client']);
  return findSshKeygen(world);
}

const has = ({ path, isExecutable }: Pick<OpensshWorld, 'path' | 'isExecutable'>, program: string): boolean =>
  path.split(delimiter).some((folder) => folder !== '' && isExecutable(join(folder, program)));

function thisMachine(): OpensshWorld {
  return {
    path: process.env['PATH'] ?? '',
    isExecutable: (file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    },
    isRoot: process.getuid?.() === 0,
    run: (program, args) =>
      spawnSync(program, args, { stdio: 'ignore', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } })
        .status === 0,
    say: (line) => process.stderr.write(`${line}\n`),
  };
}
