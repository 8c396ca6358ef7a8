'use strict';
// Runs one of the project's programs under the pinned Node, after setting the project up if that is needed.
//
//   node scripts/run.cjs [FILE.ts [ARGS...]]
//
// This is the only file that an old Node has to understand (Debian 12 ships 18, Ubuntu 22.04 ships 12), so it is
// plain CommonJS without modern syntax. Everything else runs on the Node that package-lock.json pins.
var fs = require('fs');
var path = require('path');
var crypto = require('crypto');
var child = require('child_process');

var root = path.resolve(__dirname, '..');
var modules = path.join(root, 'node_modules');
var stamp = path.join(modules, '.felhom-setup');
var oldestUsableNode = 24;

function lockDigest() {
  var hash = crypto.createHash('sha256');
  hash.update(fs.readFileSync(path.join(root, 'package-lock.json')));
  return hash.digest('hex');
}

function isSetUp(digest) {
  try {
    return fs.readFileSync(stamp, 'utf8') === digest;
  } catch (error) {
    if (error.code === 'ENOENT') return false;
    throw error;
  }
}

function setUp() {
  var digest = lockDigest();
  if (isSetUp(digest)) return;
  process.stderr.write('felhom: first run, installing what package-lock.json pins (about ten seconds) ...\n');
  var npm = child.spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (npm.error || npm.status !== 0) {
    process.stderr.write(
      'felhom: cannot install the dependencies: npm ci ' +
        (npm.error ? npm.error.message : 'ended with ' + npm.status) +
        '. Check that the npm registry is reachable, then run the same command again.\n',
    );
    process.exit(1);
  }
  fs.writeFileSync(stamp, digest);
}

/** The pinned Node where it runs; else this one where it is new enough; else an explanation and exit 1. */
function chooseNode() {
  var pinned = path.join(modules, 'node-' + process.platform + '-' + process.arch, 'bin', 'node');
  var probe = child.spawnSync(pinned, ['--version'], { encoding: 'utf8' });
  if (!probe.error && probe.status === 0) return pinned;
  var cause = probe.error ? probe.error.message : (probe.stderr || '').split('\n')[0];
  if (/libatomic/.test(cause)) cause = 'libatomic.so.1 is missing (apt-get install libatomic1 brings it)';
  var major = Number(process.versions.node.split('.')[0]);
  if (major >= oldestUsableNode) {
    process.stderr.write(
      'felhom: the pinned Node does not run here: ' + cause + '; using Node ' + process.versions.node + ' instead\n',
    );
    return process.execPath;
  }
  process.stderr.write(
    'felhom: cannot run: the pinned Node does not run here: ' +
      cause +
      ', and this Node ' +
      process.versions.node +
      ' is older than ' +
      oldestUsableNode +
      '\n',
  );
  return process.exit(1);
}

setUp();
var node = chooseNode();
if (process.argv.length > 2) {
  var env = Object.assign({}, process.env);
  env.PATH = path.dirname(node) + path.delimiter + path.join(modules, '.bin') + path.delimiter + env.PATH;
  var run = child.spawn(node, ['--disable-warning=ExperimentalWarning'].concat(process.argv.slice(2)), {
    stdio: 'inherit',
    env: env,
  });
  // The program decides how to end on a signal; this parent only passes it on and reports how it ended.
  ['SIGINT', 'SIGTERM', 'SIGHUP'].forEach(function (signal) {
    process.on(signal, function () {
      if (signal !== 'SIGINT') run.kill(signal);
    });
  });
  run.on('exit', function (code, signal) {
    process.exit(signal ? 128 + (require('os').constants.signals[signal] || 0) : code);
  });
} else {
  process.stdout.write('felhom: set up with ' + node + '\n');
}
