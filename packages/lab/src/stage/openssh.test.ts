import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ensureSshKeygen } from './openssh.ts';

interface Row {
  readonly name: string;
  readonly installed: readonly string[];
  readonly isRoot: boolean;
  /** Whether the archive of packages can be reached. */
  readonly online: boolean;
  readonly expect: 'there' | 'missing';
  readonly calls: number;
}

const rows: readonly Row[] = [
  { name: 'there', installed: ['ssh-keygen'], isRoot: true, online: true, expect: 'there', calls: 0 },
  {
    name: 'missing, for root on Debian',
    installed: ['apt-get'],
    isRoot: true,
    online: true,
    expect: 'there',
    calls: 2,
  },
  { name: 'missing, offline', installed: ['apt-get'], isRoot: true, online: false, expect: 'missing', calls: 2 },
  { name: 'missing, not root', installed: ['apt-get'], isRoot: false, online: true, expect: 'missing', calls: 0 },
  { name: 'missing, no apt-get', installed: [], isRoot: true, online: true, expect: 'missing', calls: 0 },
];

for (const { name, installed, isRoot, online, expect, calls } of rows)
  test(`ssh-keygen is ${name}`, () => {
    const files = new Set(installed.map((program) => `/usr/bin/${program}`));
    const ran: string[] = [];
    const said: string[] = [];
    const found = ensureSshKeygen({
      path: ':/usr/local/bin:/usr/bin',
      isExecutable: (file) => files.has(file),
      isRoot,
      run: (program, args) => {
        ran.push(`${program} ${args.join(' ')}`);
        if (online && args.includes('install')) files.add('/usr/bin/ssh-keygen');
        return online;
      },
      say: (line) => said.push(line),
    });
    assert.equal(found.is, expect);
    assert.equal(ran.length, calls, ran.join('\n'));
    assert.equal(said.length, calls === 0 ? 0 : 1);
    if (found.is === 'missing') assert.match(found.text, /apt-get install openssh-client/);
  });
