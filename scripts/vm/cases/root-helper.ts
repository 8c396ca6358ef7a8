/** What the service user can make root do: its verbs, and nothing besides. */
import assert from 'node:assert/strict';
import { askRoot } from '../case.ts';
import type { VmCase } from '../case.ts';

/** Each asks for what no verb does, or not in this way. The long table is `scripts/systemd/helper.systemd.ts`. */
const hostile: readonly string[] = [
  '{"v":1,"verb":"exec","command":"touch /root/here"}',
  '{"v":1,"verb":"mount","operation":"x.1","target":"../../etc"}',
  '{"v":1,"verb":"archive-digest","archive":"local:backup/../../../../etc/shadow"}',
  '{"v":1,"verb":"smart","device":"../../etc/shadow"}',
  '{"v":1,"verb":"trust-update","operation":"x.5","envelope":"{\\"v\\":1}"}',
  `{"v":1,"verb":"show","operation":"${'x'.repeat(2_000_000)}"}`,
];

/** Everything that a verb could have changed. */
const traces = [
  "find /etc /root /opt /usr /boot /mnt /srv /home /var/lib/felhom-root /var/lib/lxc -xdev ! -type d -printf '%p %s %T@ %m %u %g\\n' | sort",
  'findmnt -rno TARGET,SOURCE,OPTIONS',
  "systemctl list-units --plain --no-legend --all --type=mount,service,timer | awk '{print $1, $3}' | grep -v felhom-root@",
];

export const refusesWhatIsNoVerb: VmCase = {
  name: 'the service user can ask root for its verbs and for nothing else; others cannot ask at all',
  async run(vm) {
    const look = async (): Promise<string> => vm.must(traces.join('; '));
    const before = await look();
    const answers = await askRoot(vm, 'felhom', hostile);
    for (const [at, answer] of answers.entries()) {
      const what = `${hostile[at]?.slice(0, 100)} -> ${answer.slice(0, 300)}`;
      // Root stops reading what is too long: the rest of it is reset, before its answer or after.
      const said = answer.replace(/^E[A-Z]+ /, '');
      if (said === '') continue;
      const { is } = JSON.parse(said) as { readonly is: string };
      assert.ok(['refused', 'busy', 'absent'].includes(is), what);
    }
    assert.equal(await look(), before);
    assert.match((await askRoot(vm, 'nobody', ['{"v":1,"verb":"break-glass-show"}'])).join(''), /^EACCES/);
    const [shown] = await askRoot(vm, 'felhom', ['{"v":1,"verb":"show","operation":"x.1"}']);
    assert.deepEqual(JSON.parse(shown ?? ''), { v: 1, is: 'done', receipt: null }, 'a verb that is one is answered');
    for (const file of ['/etc/shadow', '/var/lib/felhom-root', '/run/felhom-root'])
      assert.notEqual(
        (
          await vm.run(
            `setpriv --reuid=felhom --regid=felhom --clear-groups ls -l ${file}/. || setpriv --reuid=felhom --regid=felhom --clear-groups cat ${file}`,
          )
        ).code,
        0,
        file,
      );
    return `${hostile.length} requests refused`;
  },
};
