#!/usr/bin/ruby
# SPDX-License-Identifier: Apache-2.0
# frozen_string_literal: true

# An ordinary session of Ruby's docker-api, and of a container with a quota. DOCKER_HOST names the engine, which has the
# image gpu-demo.
require 'rubygems/package' # docker-api packs build contexts with it, and leaves it to its user to load it
require 'docker'
require 'tmpdir'

def same(got, want)
  raise "#{got.inspect} is not #{want.inspect}" unless got == want
end

def create(more = {}, host = {})
  Docker::Container.create({ 'Image' => 'gpu-demo',
    'HostConfig' => { 'NetworkMode' => 'none' }.merge(host) }.merge(more))
end

def images
  image = Docker::Image.get('gpu-demo')
  image.tag('repo' => 'other', 'tag' => 'tag', 'force' => true)
  same Docker::Image.all.any? { |one| one.info['RepoTags']&.include?('other:tag') }, true
  image.history
  Dir.mktmpdir do |folder|
    Docker::Image.save('other:tag', "#{folder}/image.tar")
    Docker::Image.remove('other:tag')
    Docker::Image.load("#{folder}/image.tar")
    Docker::Image.remove('other:tag')
    File.write("#{folder}/Dockerfile", "FROM gpu-demo\nRUN true\nLABEL built=yes\n")
    File.delete("#{folder}/image.tar")
    Docker::Image.build_from_dir(folder, 't' => 'built:1', 'networkmode' => 'none').remove(force: true)
  end
end

def containers
  container = create(
    { 'name' => 'full', 'Cmd' => %w[sleep 300], 'Hostname' => 'host', 'User' => '1000', 'WorkingDir' => '/tmp',
      'Env' => ['A=b'], 'Labels' => { 'c' => 'd' }, 'StopSignal' => 'KILL',
      'ExposedPorts' => { '80/tcp' => {} }, 'Volumes' => { '/anonymous' => {} }, 'Tty' => false },
    { 'Binds' => ['data:/data', '/usr/share:/share:ro'], 'Memory' => 64 << 20, 'PidsLimit' => 50,
      'CapAdd' => ['NET_ADMIN'], 'Tmpfs' => { '/scratch' => 'size=1m' },
      'PortBindings' => { '80/tcp' => [{ 'HostPort' => '0' }] },
      'RestartPolicy' => { 'Name' => 'on-failure', 'MaximumRetryCount' => 2 }, 'Privileged' => false }
  )
  container.start
  Docker::Container.all(all: true, filters: { label: ['c=d'] }.to_json)
  container.json
  same container.exec(['sh', '-c', 'echo $X'], 'Env' => ['X=y'], 'User' => '0'), [["y\n"], [], 0]
  same container.exec(['cat'], stdin: StringIO.new('in')), [['in'], [], 0]
  container.top
  container.logs(stdout: true, stderr: true)
  container.stats
  container.changes
  container.update('Memory' => 80 << 20, 'MemorySwap' => 160 << 20)
  container.rename('fuller')
  container.pause
  container.unpause
  container.restart('timeout' => 0)
  container.store_file('/tmp/file', 'hello')
  same container.read_file('/tmp/file'), 'hello'
  container.archive_out('/tmp/file') { |chunk| chunk }
  container.commit('repo' => 'made', 'tag' => '1').remove(force: true)
  container.export { |chunk| chunk }
  container.kill
  container.wait(10)
  container.start
  container.stop('timeout' => 0)
  container.remove(v: true)

  cat = create('Cmd' => ['cat'], 'OpenStdin' => true, 'StdinOnce' => true)
  same cat.tap(&:start).attach(stdin: StringIO.new('in')), [['in'], []]
  cat.delete(force: true)
end

# A container with a quota sees it; without the volume the refusal says what to add.
def quota
  wanted = { 'Cmd' => %w[nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits],
    'Labels' => { 'gpu-memory' => '0.1' } }
  gpu = { 'DeviceRequests' => [{ 'Count' => 1, 'Capabilities' => [['gpu']] }] }
  limited = create(wanted, gpu.merge('Binds' => ['runai:/runai']))
  limited.start
  same limited.wait(30)['StatusCode'], 0
  same limited.logs(stdout: true).include?("1098\n"), true
  limited.remove
  # docker-api has no error of its own for 403: the engine's words are in the response of Excon's.
  begin
    create(wanted, gpu)
  rescue Excon::Error::Forbidden => e
    raise e.response.body unless e.response.body.include?('add -v runai:/runai')
  else
    raise 'no volume, and no refusal'
  end
end

begun = Time.now.to_i
Docker.ping
Docker.version
Docker.info
images
volume = Docker::Volume.create('data', 'Driver' => 'local', 'Labels' => { 'a' => 'b' })
Docker::Volume.get('data')
Docker::Volume.all
network = Docker::Network.create('inner', 'Internal' => true, 'CheckDuplicate' => true)
Docker::Network.get('inner')
Docker::Network.all
containers
quota
network.remove
volume.remove
Docker::Container.prune
Docker::Volume.prune
Docker::Image.prune
Docker::Network.prune
seen = 0
Docker::Event.since(begun, until: Time.now.to_i) { seen += 1 }
raise 'no events' if seen.zero?

puts 'nothing was refused'
