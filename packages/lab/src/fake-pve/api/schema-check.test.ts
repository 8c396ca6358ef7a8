import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { loadSchemaFacts, type Properties } from '../schema/facts.ts';
import { formatTable } from './formats.ts';
import { checkParams } from './schema-check.ts';

const facts = loadSchemaFacts();
const rules = { formats: formatTable(facts.privileges), propertyStrings: facts.formats };

function propertiesOf(method: string, path: string): Properties {
  const found = facts.paths.find((known) => known.path === path)?.methods.get(method);
  if (found === undefined || found === 'unknown') throw new Error(`no facts about ${method} ${path}`);
  return found.properties;
}

const put = propertiesOf('PUT', '/nodes/{node}/lxc/{vmid}/config');
const base = { node: 'pve1', vmid: '101' };
const missing = 'property is missing and it is not optional';
const unknown = 'property is not defined in schema and the schema does not allow additional properties';

const refusals: readonly [name: string, given: Record<string, unknown>, errors: Record<string, string>][] = [
  ['no integer', { cores: 'x' }, { cores: "type check ('integer') failed - got 'x'" }],
  ['an empty number', { cores: '' }, { cores: "type check ('integer') failed - got ''" }],
  ['a boolean in words', { onboot: 'true' }, { onboot: "type check ('boolean') failed - got 'true'" }],
  ['below the minimum', { memory: '4' }, { memory: 'value must have a minimum value of 16' }],
  ['above the maximum', { cores: '9999' }, { cores: 'value must have a maximum value of 8192' }],
  ['too long', { digest: '0'.repeat(41) }, { digest: 'value may only be 40 characters long' }],
  ['an unknown key', { bogus: '1' }, { bogus: unknown }],
  ['an index out of range', { net99: 'name=eth0' }, { net99: unknown }],
  [
    'a bad host name',
    { hostname: 'bad_host' },
    { hostname: 'invalid format - value does not look like a valid DNS name\n' },
  ],
  ['a bad tag', { tags: 'bad tag!' }, { tags: 'invalid format - invalid characters in tag\n' }],
  [
    'a network without name',
    { net0: 'bridge=vmbr0' },
    { net0: `invalid format - format error\nnet0.name: ${missing}\n` },
  ],
  [
    'a bad address inside',
    { net0: 'name=eth0,ip=notanip' },
    {
      net0: 'invalid format - format error\nnet0.ip: invalid format - value does not look like a valid ipv4 network configuration\n\n',
    },
  ],
  [
    'a mount path with dots',
    { mp4: 'felhom:1,mp=/a/../b' },
    { mp4: 'invalid format - format error\nmp4.mp: invalid format - /a/../b contains illegal character sequences\n\n' },
  ],
  [
    'a key twice',
    { net0: 'name=a,name=b' },
    { net0: 'invalid format - duplicate key in comma-separated list property: name\n' },
  ],
  ['an object', { hostname: { a: 1 } }, { hostname: "type check ('string') failed - got HASH" }],
];

describe('parameters against the schema', () => {
  for (const [name, given, errors] of refusals)
    test(`refuses ${name}`, () => {
      assert.deepEqual(checkParams({ ...base, ...given }, put, rules), { is: 'refused', errors });
    });

  test('turns numbers into numbers, booleans into 0 or 1 and lists into text', () => {
    const given = { ...base, cores: '2', cpulimit: '1.5', onboot: true, delete: ['tags', 'mp0'] };
    const params = { node: 'pve1', vmid: 101, cores: 2, cpulimit: 1.5, onboot: 1, delete: 'tags,mp0' };
    assert.deepEqual(checkParams(given, put, rules), { is: 'ok', params });
  });

  test('a required parameter is asked for, null counts as absent', () => {
    const snapshot = propertiesOf('POST', '/nodes/{node}/lxc/{vmid}/snapshot');
    assert.deepEqual(checkParams({ ...base, snapname: null }, snapshot, rules), {
      is: 'refused',
      errors: { snapname: missing },
    });
  });

  test('a parameter that needs another says which', () => {
    const create = propertiesOf('POST', '/nodes/{node}/lxc');
    const checked = checkParams({ ...base, ostemplate: 'a:b', unique: '1' }, create, rules);
    assert.deepEqual(checked, {
      is: 'refused',
      errors: { restore: "missing property - 'unique' requires this property" },
    });
  });

  test('keep-all stands alone', () => {
    const vzdump = propertiesOf('POST', '/nodes/{node}/vzdump');
    const checked = checkParams({ node: 'pve1', 'prune-backups': 'keep-all=1,keep-last=2' }, vzdump, rules);
    assert.deepEqual(checked, {
      is: 'refused',
      errors: { 'prune-backups': 'invalid format - keep-all cannot be set together with other options.\n' },
    });
  });
});
