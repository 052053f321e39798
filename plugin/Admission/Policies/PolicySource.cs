// SPDX-License-Identifier: Apache-2.0
using Runai.GpuMemory.Common;

namespace Runai.GpuMemory.Admission.Policies;

/// <summary>The policy in force. The file is read again when it changes; one with a problem is refused whole, and the
/// last good one stays, also over a restart of the plugin.</summary>
sealed partial class PolicySource
{
    /// <summary>The plugin's mount that the file is below.</summary>
    public const string Mount = "etc";

    static readonly (bool Exists, DateTime Written, long Length) NeverSeen = (false, default, -1),
        Unreadable = (false, default, -2);

    readonly string _path;
    readonly string _lastGood;
    readonly ILogger<PolicySource> _log;
    readonly TimeProvider _time;
    volatile PolicyInForce _state = new(PolicySettings.BuiltIn, null, []);
    (bool Exists, DateTime Written, long Length) _seen = NeverSeen;
    string? _failure;
    volatile bool _isDistrusted;

    /// <param name="path">The admin's file.</param>
    /// <param name="lastGood">Where the last good one is kept.</param>
    /// <param name="log">Tells each problem.</param>
    /// <param name="time">Says since when.</param>
    public PolicySource(string path, string lastGood, ILogger<PolicySource> log, TimeProvider? time = null)
    {
        (_path, _lastGood, _log, _time) = (path, lastGood, log, time ?? TimeProvider.System);
        Refresh();
    }

    /// <summary>The settings in force. Replaced as a whole: a decision reads them once and uses them to its
    /// end.</summary>
    public PolicySettings Current => _state.Settings;

    /// <summary>The settings in force, since when, and what is wrong with a newer file.</summary>
    public PolicyInForce State => _state;

    /// <summary>Another policy is in force. Raised where <see cref="Refresh"/> is called.</summary>
    public event Action? Changed;

    /// <summary>Looks whether the file is another one, and reads it.</summary>
    public void Refresh()
    {
        var before = Current;
        CheckForChange();
        if (!ReferenceEquals(before, Current))
            Changed?.Invoke();
    }

    /// <summary>The file is not the admin's, there or not: as with one that cannot be read, nothing that matters goes
    /// on until the plugin is enabled again.</summary>
    public void Distrust(string problem)
    {
        _isDistrusted = true;
        _state = new(new() { Problem = problem }, null, [new(0, problem)]);
        Changed?.Invoke();
    }

    void CheckForChange()
    {
        if (_isDistrusted)
            return;
        try
        {
            var file = new FileInfo(_path);
            // Docker makes a directory where the source of a bind mount is missing.
            if (Directory.Exists(_path))
                throw new IOException("it is a directory");
            var now = file.Exists ? (true, file.LastWriteTimeUtc, file.Length) : (false, default, 0L);
            if (now == _seen)
                return;
            var first = _seen == NeverSeen;
            if (now.Item1)
                Load(ReadBounded(_path));
            else if (!first || File.Exists(_lastGood))
                Leave();
            _seen = now;
            _failure = null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            if (e.Message == _failure)
                return;
            _failure = e.Message;
            _seen = Unreadable;
            LogUnreadable(_log, _path, e.Message);
            Keep(
                "the file cannot be read",
                [new(0, $"the file cannot be read: {Quoted.Text(e.Message, 200).Trim('"')}")]
            );
        }
    }

    void Load(byte[] text)
    {
        var (policy, problems) = PolicyReader.Read(text);
        foreach (var problem in problems)
            LogProblem(_log, _path, problem.Line, problem.Text);
        if (policy is null)
        {
            Keep($"its line {problems[0].Line} {problems[0].Text}", problems);
            return;
        }
        var isKept = File.Exists(_lastGood) && ReadBounded(_lastGood).AsSpan().SequenceEqual(text);
        _state = new(policy, isKept ? new(File.GetLastWriteTimeUtc(_lastGood)) : _time.GetUtcNow(), []);
        if (!isKept)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(_lastGood)!);
            AtomicFile.Write(_lastGood, text, FileModes.Readable, isLasting: false, beside: _lastGood + ".new");
        }
        LogLoaded(_log, _path, policy.IsAudit ? "audit" : "enforce");
    }

    /// <summary>The last good policy goes on; with none, nothing that matters goes on.</summary>
    void Keep(string problem, IReadOnlyList<PolicyProblem> refused)
    {
        if (!Current.IsBuiltIn && Current.Problem is null)
        {
            _state = _state with { Refused = refused };
            return;
        }
        _state =
            File.Exists(_lastGood) && PolicyReader.Read(ReadBounded(_lastGood)).Policy is { } last
                ? new(last, new(File.GetLastWriteTimeUtc(_lastGood)), refused)
                : new(new() { Problem = problem }, null, refused);
        if (Current.Problem is null)
            LogKept(_log, _path);
    }

    void Leave()
    {
        if (File.Exists(_lastGood))
            File.Delete(_lastGood);
        _state = new(PolicySettings.BuiltIn, null, []);
        LogGone(_log, _path);
    }

    static byte[] ReadBounded(string path)
    {
        using var file = File.OpenRead(path);
        var bytes = new byte[PolicyReader.MaxBytes + 1];
        return bytes[..file.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false)];
    }

    [LoggerMessage(620, LogLevel.Information, "policy {Path} is in force mode={Mode}")]
    static partial void LogLoaded(ILogger logger, string path, string mode);

    [LoggerMessage(621, LogLevel.Error, "policy {Path} is refused, line {Line}: {Problem}")]
    static partial void LogProblem(ILogger logger, string path, int line, string problem);

    [LoggerMessage(622, LogLevel.Error, "policy {Path} cannot be read: {Problem}")]
    static partial void LogUnreadable(ILogger logger, string path, string problem);

    [LoggerMessage(
        623,
        LogLevel.Warning,
        "policy {Path} is gone: quotas that are asked for are enforced, all else is allowed"
    )]
    static partial void LogGone(ILogger logger, string path);

    [LoggerMessage(624, LogLevel.Warning, "policy {Path}: the last good one of an earlier run stays in force")]
    static partial void LogKept(ILogger logger, string path);
}
