namespace Runai.GpuMemory.Admission;

sealed partial class Authorizer
{
    /// <summary>Most calls are answered by this alone. That the engine asks at all is noted here too.</summary>
    public bool IsOfConcern(string method, string uri)
    {
        own.NoteAsked(uri);
        if (method.Length == 0 || uri.Length == 0)
            return true;
        var kind = EngineRoute.Match(method, uri).Kind;
        return kind != RouteKind.OfNoConcern && !(policy.Current.IsBuiltIn && EngineRoutes.IsReach(kind));
    }
}
